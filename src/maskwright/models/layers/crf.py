"""A linear-chain conditional random field (Lafferty et al., 2001) over the tags of a text.

Shapes: B texts, K words, C tags.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_NEVER = -1e4  # the score of a transition that the scheme forbids; finite, so that gradients are finite too


class LinearChainCRF(nn.Module):
    """Scores of whole tag sequences: emissions, and how well each tag follows the one before it.

    Args:
        names: of the C tags, in IOB2. An I- tag follows its own B- or I- tag only.
    """

    allowed: Tensor
    may_begin: Tensor
    opening: Tensor

    def __init__(self, names: Sequence[str]):
        super().__init__()
        count = len(names)
        self.begin = nn.Parameter(torch.zeros(count))
        self.end = nn.Parameter(torch.zeros(count))
        self.transition = nn.Parameter(torch.zeros(count, count))  # from the row's tag to the column's
        inside = [name.startswith("I-") for name in names]
        allowed = [
            [not inside[j] or (names[i] != "O" and names[i][2:] == names[j][2:]) for j in range(count)]
            for i in range(count)
        ]
        self.register_buffer("allowed", torch.tensor(allowed), persistent=False)
        self.register_buffer("may_begin", ~torch.tensor(inside), persistent=False)
        number = {name: i for i, name in enumerate(names)}
        opening = [number.get(f"B-{name[2:]}", i) if inside[i] else i for i, name in enumerate(names)]
        self.register_buffer("opening", torch.tensor(opening), persistent=False)

    def scores(self) -> tuple[Tensor, Tensor]:
        """Returns the scores of a tag at the beginning of a text, (C,), and of the column's tag after the row's,
        (C, C); very low where the scheme forbids it."""
        begin = self.begin.masked_fill(~self.may_begin, _NEVER)
        return begin, self.transition.masked_fill(~self.allowed, _NEVER)

    def _scores(self, opens: Tensor) -> tuple[Tensor, Tensor]:
        begin, transition = self.scores()
        return begin * opens[:, None], transition

    def loss(self, emissions: Tensor, tags: Tensor, valid: Tensor, opens: Tensor) -> Tensor:
        """Negative log-likelihood in nats per word.

        Args:
            emissions: (B, K, C).
            tags: (B, K) in [0, C), also at padding. An I- tag that does not follow its own, because the word before
                it has no token, counts as B-.
            valid: (B, K) bool, False at the padding after each text.
            opens: (B,) bool, False where a row continues a text, and may therefore begin with any tag.
        """
        emissions = emissions.float()
        begin, transition = self._scores(opens)
        follows = self.allowed[tags[:, :-1], tags[:, 1:]]
        follows = torch.cat([(self.may_begin[tags[:, 0]] | ~opens)[:, None], follows], 1)
        tags = torch.where(follows, tags, self.opening[tags])
        # of the given sequence
        own = emissions.gather(2, tags[..., None])[..., 0]
        score = torch.where(valid, own, 0).sum(1)
        score = score + torch.where(valid[:, 0], begin.gather(1, tags[:, :1])[:, 0], 0)
        steps = transition[tags[:, :-1], tags[:, 1:]]
        score = score + torch.where(valid[:, 1:], steps, 0).sum(1)
        last = tags.gather(1, (valid.sum(1, keepdim=True) - 1).clamp(min=0))[:, 0]
        score = score + torch.where(valid[:, 0], self.end[last], 0)
        total = self._total(emissions, valid, begin, transition)
        return (total - score).sum() / valid.sum().clamp(min=1)

    def _total(self, emissions: Tensor, valid: Tensor, begin: Tensor, transition: Tensor) -> Tensor:
        """(B,) the logarithm of the sum over all sequences of each text; 0 where it has no word."""
        alpha = begin + emissions[:, 0]
        for k in range(1, emissions.shape[1]):
            following = torch.logsumexp(alpha[:, :, None] + transition, dim=1) + emissions[:, k]
            alpha = torch.where(valid[:, k, None], following, alpha)
        return torch.where(valid[:, 0], torch.logsumexp(alpha + self.end, dim=1), 0)

    def marginals(self, emissions: Tensor, valid: Tensor, opens: Tensor) -> Tensor:
        """(B, K, C) the probability of each tag at each word over all sequences of the text. See `loss`.

        It is the derivative of the logarithm of that sum by the emission. It has gradients itself where the
        emissions have.
        """
        follow = torch.is_grad_enabled() and emissions.requires_grad
        with torch.inference_mode(False), torch.enable_grad():
            leaf = emissions.float() if follow else emissions.detach().float().clone().requires_grad_()
            begin, transition = (part.detach() for part in self._scores(opens.clone()))
            total = self._total(leaf, valid.clone(), begin, transition)
            return torch.autograd.grad(total.sum(), leaf, create_graph=follow)[0]

    @torch.no_grad()
    def decode(self, emissions: Tensor, valid: Tensor, opens: Tensor) -> Tensor:
        """(B, K) the best sequence of each text (Viterbi, 1967); anything at padding. See `loss`."""
        emissions = emissions.float()
        begin, transition = self._scores(opens)
        best, back = begin + emissions[:, 0], []
        for k in range(1, emissions.shape[1]):
            score, origin = (best[:, :, None] + transition).max(dim=1)
            following = score + emissions[:, k]
            # padding keeps the score, and points each tag at itself
            back.append(torch.where(valid[:, k, None], origin, torch.arange(best.shape[1], device=best.device)))
            best = torch.where(valid[:, k, None], following, best)
        tag = (best + self.end).argmax(dim=1)
        tags = [tag]
        for origin in reversed(back):
            tag = origin.gather(1, tag[:, None])[:, 0]
            tags.append(tag)
        return torch.stack(tags[::-1], dim=1)
