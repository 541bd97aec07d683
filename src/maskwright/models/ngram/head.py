"""Predicts tokens from their neighbours, by counts that are interpolated along a lattice of contexts.

The context (a, b) of a position is the a nearest tokens before it and the b nearest after it. From the largest,
(left, right), the prediction goes down: with some probability the token is drawn from the relative frequencies in
the context; otherwise the context loses its outermost token on the left, or on the right. These three probabilities
are those of (a, b) and of how often the context was counted. A context that was never counted, or in which a token
is hidden, only loses tokens. That is the interpolation of Jelinek and Mercer (1980) with contexts on both sides.

The probabilities are learned by EM. What is predicted in training was counted itself, so that its own occurrence is
deleted from the counts first (deleted interpolation).

Shapes: B rows, K positions of each, N of all, J contexts, V vocabulary, A neighbours, to the left and to the right.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from maskwright.models.layers.log_probabilities import LogProbabilities
from maskwright.models.layers.visible_token import score_with_seen, with_seen
from maskwright.models.ngram.contexts import context_keys, with_neighbours
from maskwright.models.ngram.table import CountTable

_CHUNK = 256  # positions whose distributions over the vocabulary exist at the same time
_BUCKETS = 16  # of counts: none, 1, 2, 3 to 4, 5 to 8, ...
_TINY = 1e-30  # the least probability of a token that is seen


class NGramHead(nn.Module):
    """An interpolated cloze from counts of the training split.

    Args:
        vocabulary_size, left, right, minimum, kept: see `NGram`.
    """

    frequencies: Tensor
    possible: Tensor

    def __init__(self, vocabulary_size: int, left: int, right: int, minimum: int, kept: float):
        super().__init__()
        self.vocabulary_size, self.left, self.right = vocabulary_size, left, right
        self.minimum, self.kept = minimum, kept
        # from the largest to the empty one, so that each comes after those that lead to it
        self.sides = [(a, b) for a in range(left, -1, -1) for b in range(right, -1, -1)]
        self.tables = nn.ModuleList(CountTable(vocabulary_size) for _ in self.sides[:-1])
        self.register_buffer("frequencies", torch.zeros(vocabulary_size, dtype=torch.int64))
        self.weights = LogProbabilities(len(self.sides) * _BUCKETS, 3, outcomes=1, noise=0.0)
        possible = torch.stack([_possible(a, b) for a, b in self.sides])
        self.register_buffer("possible", possible, persistent=False)

    def count(self, rows: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Counts the training split.

        Args:
            rows: ids (B, T), -1 at padding, and which of them may be predicted (B, T) bool, in parts.
        """
        around = torch.cat([with_neighbours(ids, self.left, self.right)[asked].int() for ids, asked in rows])
        tokens = around[:, -1].long()
        self.frequencies = tokens.bincount(minlength=self.vocabulary_size)
        for (a, b), table in zip(self.sides, self._tables(), strict=False):
            keys, known = context_keys(self._context(around, a, b).long(), self.vocabulary_size)
            table.fill(keys[known], tokens[known], self.minimum if a + b > 1 else 1)

    def _tables(self) -> list[CountTable]:
        return list(self.tables)  # type: ignore[arg-type]

    def _context(self, around: Tensor, left: int, right: int) -> Tensor:
        """Returns the tokens of a context (N, left + right)."""
        return torch.cat([around[:, :left], around[:, self.left : self.left + right]], 1)

    def forward(self, hidden_BKH: Tensor) -> Tensor:
        """Returns log-probabilities (B, K, V) of neighbours (B, K, A + 1), see `NGram`."""
        found = []
        for around in hidden_BKH.flatten(0, 1).long().split(_CHUNK):
            numbers, totals = self._look_up(around)
            shares = self._interpolation(totals) / totals.clamp(min=1)
            found.append(with_seen(self._mixture(numbers, shares).log(), around[:, -1], self.kept))
        return torch.cat(found).unflatten(0, hidden_BKH.shape[:2])

    def loss(self, hidden_BKH: Tensor, targets: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean cross-entropy in nats of the valid targets (B, K), and which are predicted correctly (B, K).

        In training, targets are taken out of the counts.
        """
        valid_N = valid.flatten()
        parts = (hidden_BKH.flatten(0, 1).long(), targets.flatten(), valid_N & self.training)
        scored = [self._score(*chunk) for chunk in zip(*(part.split(_CHUNK) for part in parts), strict=True)]
        score_N, right_N = (torch.cat(chunks) for chunks in zip(*scored, strict=True))
        return -(score_N * valid_N).sum() / valid_N.sum().clamp(min=1), right_N.view_as(valid)

    def _score(self, around: Tensor, targets: Tensor, deleted: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the log-probabilities of targets (N,), and which are the likeliest tokens, (N,) each.

        Args:
            deleted: (N,) bool, which targets are taken out of the counts.
        """
        numbers, totals = self._look_up(around)
        seen, of_target = around[:, -1], self._counts(numbers, targets)
        of_seen = self._counts(numbers, seen.clamp(min=0))
        # a target was not counted in a context that has a random token in place of a neighbour
        counted = torch.cat([of_target[:, :-1] > 0, of_target[:, -1:] > 1], 1)
        own = (deleted[:, None] & counted).float()
        totals = totals - own
        weights = self._interpolation(totals)
        shares = weights / totals.clamp(min=1)
        score = (shares * (of_target - own)).sum(1).log()
        with torch.no_grad():
            same = (seen == targets)[:, None]
            log_seen = (shares * (of_seen - own * same)).sum(1).clamp_min(_TINY).log()
            mixture = self._mixture(numbers, shares)
            mixture.scatter_add_(1, targets[:, None], -(shares * own).sum(1, keepdim=True))
            best, token = mixture.max(1)
            shown, takes_seen = score_with_seen(
                score, best.log(), log_seen, seen == targets, seen, self.kept, self.vocabulary_size
            )
            right = torch.where(takes_seen, seen, token) == targets
        # the interpolation is not learned from what the token that is seen tells
        return score + (shown - score).detach(), right

    def _look_up(self, around: Tensor) -> tuple[list[Tensor], Tensor]:
        """Returns the numbers (N,) of each context in its table, and how often each occurs (N, J).

        The empty context occurs once more with each token of the vocabulary.
        """
        numbers, totals = [], []
        for (a, b), table in zip(self.sides, self._tables(), strict=False):
            number, total = table.find(*context_keys(self._context(around, a, b), self.vocabulary_size))
            numbers.append(number)
            totals.append(total.float())
        everywhere = (self.frequencies.sum() + self.vocabulary_size).float()
        return numbers, torch.stack([*totals, everywhere.expand(len(around))], 1)

    def _counts(self, numbers: list[Tensor], tokens: Tensor) -> Tensor:
        """Returns how often tokens (N,) occur in each of their contexts, (N, J)."""
        counts = [table.count(number, tokens) for table, number in zip(self._tables(), numbers, strict=True)]
        return torch.stack([*counts, self.frequencies[tokens] + 1], 1).float()

    def _interpolation(self, totals: Tensor) -> Tensor:
        """Returns the probability that a token is drawn from each context (N, J), by their totals (N, J)."""
        buckets = torch.where(totals > 0, 1 + totals.clamp(min=1).log2().ceil(), 0).long().clamp(max=_BUCKETS - 1)
        first = torch.arange(len(self.sides), device=totals.device) * _BUCKETS
        steps = self.weights(buckets + first).exp() * self.possible.flatten(0, 1)[buckets + first]
        # the gradient has to be that of each probability alone
        steps = steps / steps.sum(-1, keepdim=True).detach()
        reached = {side: torch.zeros_like(totals[:, 0]) for side in self.sides}
        reached[self.sides[0]] = torch.ones_like(totals[:, 0])
        drawn = []
        for number, (a, b) in enumerate(self.sides):
            draw, lose_left, lose_right = (reached[a, b][:, None] * steps[:, number]).unbind(-1)
            drawn.append(draw)
            if a:
                reached[a - 1, b] = reached[a - 1, b] + lose_left
            if b:
                reached[a, b - 1] = reached[a, b - 1] + lose_right
        return torch.stack(drawn, 1)

    def _mixture(self, numbers: list[Tensor], shares: Tensor) -> Tensor:
        """Returns probabilities (N, V): counts in each context, times shares (N, J)."""
        mixture = shares[:, -1:] * (self.frequencies + 1)
        for table, number, share in zip(self._tables(), numbers, shares.T, strict=False):
            table.add(mixture, number, share)
        return mixture


def _possible(left: int, right: int) -> Tensor:
    """Returns which of the three can happen, (buckets, 3): to draw, to lose a token on the left, on the right."""
    possible = torch.tensor([True, left > 0, right > 0]).repeat(_BUCKETS, 1)
    possible[0, 0] = not (left or right)  # there is nothing to draw from
    return possible
