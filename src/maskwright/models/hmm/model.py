"""A hidden Markov model over tokens (Rabiner, 1989), trained by expectation maximization.

Shapes: B rows, T positions, K of them, S states, V vocabulary.
"""

import torch
from torch import Tensor, nn

from maskwright.core.types import PositiveCount, PositiveRate
from maskwright.models.encoder import BaseEncoder
from maskwright.models.hmm.forward_backward import Chain, expected_moves, forward_backward, viterbi
from maskwright.models.hmm.head import HMMHead
from maskwright.models.layers.attention_mask import AttentionMask, padding_only
from maskwright.models.layers.gather import gather
from maskwright.models.layers.log_probabilities import LogProbabilities
from maskwright.models.layers.visible_token import Kept


class HMM(BaseEncoder):
    """Tokens -> distributions over states; its head turns these into distributions over tokens.

    A row is a chain of states, each of which emits a token; [CLS] and [SEP] are tokens as others are. The mask
    token and padding are not: nothing is known of what the states emit there. Where the documents of a row are
    kept apart, a new chain begins with each.

    The hidden state of a position, (S + 1), is p(state | all other tokens of the row), and the id of the token that
    stands there, -1 where it is hidden. From it the head computes exactly p(token | all other tokens), however
    many of these are masked.

    It learns from `own_loss`, by optimizer=em: the gradient with respect to each log-probability is minus how often
    it is expected to be used. That is of the tokens before they are masked. A likelihood needs no masks, and with
    them it would only see fewer tokens.

    Args:
        vocabulary_size: V.
        states: S.
        kept: the share of tokens at predicted positions that are the true ones, of those that are not hidden.
        initial_noise: the standard deviation of the logits of all probabilities at the beginning.
        mask_id: the id of the mask token.
    """

    learns_from_counts = True
    keeps_documents_apart = True
    below_layers = ("embedding", "initial", "transitions")

    def __init__(
        self,
        vocabulary_size: int,
        states: PositiveCount,
        kept: Kept = 0.5,
        initial_noise: PositiveRate = 1.0,
        mask_id: int = -1,
    ):
        super().__init__()
        self.states, self.kept, self.mask_id = states, kept, mask_id
        self.hidden_size = states + 1
        self.embedding = LogProbabilities(vocabulary_size, states, outcomes=0, noise=initial_noise)
        self.initial = LogProbabilities(1, states, outcomes=1, noise=initial_noise)
        self.transitions = LogProbabilities(states, states, outcomes=1, noise=initial_noise)
        self.layers = nn.ModuleList()

    def embed(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> Tensor:
        """(B, T, S + 1) of input_ids (B, T): log p(token | state), and the id; 0 and -1 where it is hidden."""
        hidden = input_ids == self.mask_id
        real, _ = _real_and_starts(attention_mask)
        if real is not None:
            hidden = hidden | ~real
        with torch.autocast(input_ids.device.type, enabled=False):
            evidence = self.embedding(input_ids).masked_fill(hidden[..., None], 0.0)
        seen = input_ids.masked_fill(hidden, -1).to(evidence.dtype)
        return torch.cat([evidence, seen[..., None]], -1)

    def encode(
        self, hidden_BTH: Tensor, attention_mask: AttentionMask = None, positions: Tensor | None = None
    ) -> Tensor:
        """(B, T, S + 1) of what `embed` returns, or (B, K, S + 1) at positions (B, K)."""
        evidence, seen = hidden_BTH[..., :-1], hidden_BTH[..., -1:]
        found = torch.cat([self._chain(evidence, attention_mask).without_own(), seen], -1)
        return found if positions is None else gather(found, positions)

    def _chain(self, evidence: Tensor, attention_mask: AttentionMask) -> Chain:
        _, starts = _real_and_starts(attention_mask)
        with torch.autocast(evidence.device.type, enabled=False):
            return forward_backward(evidence, self.initial.table()[0], self.transitions.table(), starts)

    def own_loss(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> Tensor:
        """Minus the expected log-likelihood of tokens and states together, a mean over rows (Baum et al., 1970).

        Its gradient is that of the log-likelihood of the tokens. What is expected is constant.
        """
        real, starts = _real_and_starts(attention_mask)
        with torch.no_grad():
            embedded = self.embed(input_ids, attention_mask)
            evidence, visible = embedded[..., :-1], embedded[..., -1:] >= 0
            chain = self._chain(evidence, attention_mask)
            states = chain.posterior()
            counted = None if real is None or starts is None else real & ~starts
            with torch.autocast(evidence.device.type, enabled=False):
                moves = expected_moves(chain, evidence, self.transitions.table(), counted)
            firsts = states[:, 0].sum(0) if starts is None else (states * starts[..., None]).sum((0, 1))
        expected = ((states * visible) * self.embedding(input_ids)).sum()
        expected = expected + (moves * self.transitions.table()).sum() + (firsts * self.initial.table()[0]).sum()
        return -expected / len(input_ids)

    def log_likelihood(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> Tensor:
        """log p(tokens) of each row, (B,), in nats; tokens that are hidden are summed over."""
        return self._chain(self.embed(input_ids, attention_mask)[..., :-1], attention_mask).log_likelihood

    def viterbi(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> tuple[Tensor, Tensor]:
        """Returns the likeliest states (B, T), and the log-probability (B,) of these and the tokens together."""
        evidence, (_, starts) = self.embed(input_ids, attention_mask)[..., :-1], _real_and_starts(attention_mask)
        return viterbi(evidence, self.initial.table()[0], self.transitions.table(), starts)

    def own_head(self) -> HMMHead:
        return HMMHead(self.embedding, self.kept)


def _real_and_starts(attention_mask: AttentionMask) -> tuple[Tensor | None, Tensor | None]:
    """Returns where there is no padding, and where chains begin, (B, T) each; None for everywhere, and nowhere."""
    if isinstance(attention_mask, Tensor) and attention_mask.ndim == 3:
        real, follows = attention_mask.diagonal(0, 1, 2), attention_mask.diagonal(-1, 1, 2)
    elif (given := padding_only(attention_mask)) is None:
        return None, None
    else:
        real, follows = given, given[:, :-1]  # a chain begins after padding
    starts = real.clone()
    starts[:, 1:] &= ~follows
    return real, starts
