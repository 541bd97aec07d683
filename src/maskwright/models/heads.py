"""Heads for masked tokens: hidden states -> predictions, at the masked positions only."""

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.models.layers.cross_entropy import linear_cross_entropy
from maskwright.models.layers.linear import ReadoutLinear

# positions whose logits exist at the same time: on a CPU they stay in its caches
CHUNK_CPU, _CHUNK_GPU = 256, 4096


@runtime_checkable
class CountsTokens(Protocol):
    """A head that counts the training split once, before the first step of a new run."""

    def count(self, rows: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Counts tokens.

        Args:
            rows: ids (B, T), -1 at padding, and which of them may be predicted (B, T) bool, in parts.
        """


class MaskedLMHead(nn.Module):
    """Predicts tokens from hidden states; its output matrix is the embedding of the encoder.

    Args:
        embedding: the encoder's token embedding, (V, E); its weight is shared, not copied.
        norm_epsilon: added to the variance in the layer norm.
        initial_std: of the truncated normal that the dense weight starts from.
        hidden_size: H, the size of the hidden states; None if it is E, that of the embedding.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        norm_epsilon: float = 1e-5,
        initial_std: float = 0.02,
        hidden_size: int | None = None,
    ):
        super().__init__()
        vocabulary_size, embedding_size = embedding.weight.shape
        self.dense = nn.Linear(hidden_size or embedding_size, embedding_size, bias=False)
        self.norm = nn.LayerNorm(embedding_size, norm_epsilon, bias=False)
        self.decoder = nn.Linear(embedding_size, vocabulary_size)
        self.decoder.weight = embedding.weight
        nn.init.zeros_(self.decoder.bias)
        nn.init.trunc_normal_(self.dense.weight, std=initial_std, a=-3 * initial_std, b=3 * initial_std)

    def forward(self, hidden_BKH: Tensor) -> Tensor:
        """Returns logits (B, K, V) of hidden states (B, K, H)."""
        return self.decoder(self._transform(hidden_BKH))

    def loss(
        self,
        hidden_BKH: Tensor,
        targets: Tensor,
        valid: Tensor,
        factors: Tensor | None = None,
        smoothing: float = 0.0,
        add: Callable[[Tensor, slice], None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Returns mean cross-entropy in nats of the valid targets (B, K), and which are predicted correctly (B, K).

        The result is that of `forward` and a cross-entropy, without the logits of all K positions at once.

        Args:
            factors: (B, K) what the cross-entropy of each target is multiplied by; None for 1.
            smoothing: the share of each target that is spread over the vocabulary.
            add: see `linear_cross_entropy`.
        """
        transformed_NE = self._transform(hidden_BKH).flatten(0, 1)
        weight, bias = self.decoder.weight, self.decoder.bias
        loss, right = linear_cross_entropy(
            transformed_NE,
            weight,
            weight.new_zeros(len(weight)) if bias is None else bias,  # some pretrained heads have none
            targets.flatten(),
            valid.flatten(),
            CHUNK_CPU if hidden_BKH.device.type == "cpu" else _CHUNK_GPU,
            None if factors is None else factors.flatten(),
            smoothing,
            add,
        )
        return loss, right.view_as(valid)

    def _transform(self, hidden_BKH: Tensor) -> Tensor:
        return self.norm(F.gelu(self.dense(hidden_BKH)))


class DetectionHead(nn.Module):
    """Scores whether each token is another than the original, as in ELECTRA (Clark et al., 2020)."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.output = ReadoutLinear(hidden_size, 1)

    def forward(self, hidden_BTH: Tensor) -> Tensor:
        """Returns logits (B, T), above 0 where the token is likelier to be another, of hidden states (B, T, H)."""
        return self.output(F.gelu(self.dense(hidden_BTH)))[..., 0]


class SpanBoundaryHead(MaskedLMHead):
    """Predicts a token of a span from the hidden states at both sides of the span, and from where in it it is.

    Two layers of GELU and layer norm over the three, then the embedding of the encoder (Joshi et al., 2020).

    Args:
        longest: positions in a span that have an embedding.
        others: see `MaskedLMHead`.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        hidden_size: int,
        longest: int,
        norm_epsilon: float = 1e-5,
        initial_std: float = 0.02,
    ):
        super().__init__(embedding, norm_epsilon, initial_std, hidden_size)
        self.offsets = nn.Embedding(longest, hidden_size)
        self.first_dense = nn.Linear(3 * hidden_size, hidden_size, bias=False)
        self.first_norm = nn.LayerNorm(hidden_size, norm_epsilon, bias=False)
        for weight in (self.offsets.weight, self.first_dense.weight):
            nn.init.trunc_normal_(weight, std=initial_std, a=-3 * initial_std, b=3 * initial_std)

    def features(self, before_BKH: Tensor, after_BKH: Tensor, offsets: Tensor) -> Tensor:
        """Returns what `forward` and `loss` take, (B, K, 3 H).

        Args:
            before_BKH, after_BKH: the hidden states at the positions before and after the span.
            offsets: (B, K) int64, the positions in the span, counted from 0.
        """
        return torch.cat([before_BKH, after_BKH, self.offsets(offsets).to(before_BKH.dtype)], -1)

    def _transform(self, features: Tensor) -> Tensor:
        return super()._transform(self.first_norm(F.gelu(self.first_dense(features))))
