"""Hidden states that predict the token after the one that they are of.

Shapes: B examples, T positions, K of them, H hidden size.
"""

import torch
from torch import Tensor

from maskwright.models.encoder import Encoder
from maskwright.models.layers.attention_mask import AttentionMask
from maskwright.models.layers.causal import Causal
from maskwright.models.wrapped import Wrapped


class Shifted(Wrapped):
    """An encoder whose hidden state at a position is that of another encoder at the position before it.

    A head for masked tokens reads it as it reads any encoder, and so predicts each token from the position before:
    masked next-token prediction (BehnamGhader et al., 2024, arXiv 2404.05961; Charpentier and Samuel, 2024, arXiv
    2410.24159). The first position, which has none before it and shows a special token, keeps its own state.

    Args:
        encoder: the other one, which shares its weights with this one.
        causal: whether no position sees a later one, so that tokens are predicted from those before them alone.
    """

    def __init__(self, encoder: Encoder, causal: bool = False):
        super().__init__(encoder)
        self.causal = causal

    def embed(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> Tensor:
        return self.encoder.embed(input_ids, self._mask(attention_mask))

    def encode(
        self, hidden_BTH: Tensor, attention_mask: AttentionMask = None, positions: Tensor | None = None
    ) -> Tensor:
        return _shifted(self.encoder.encode(hidden_BTH, self._mask(attention_mask), _before(positions)), positions)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: AttentionMask = None,
        positions: Tensor | None = None,
        token_types: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (B, T, H) of input_ids (B, T), or (B, K, H) at positions (B, K)."""
        states = self._states(input_ids, self._mask(attention_mask), _before(positions), token_types)
        return _shifted(states, positions)

    def attention_weights(self, input_ids: Tensor) -> list[Tensor]:
        """Returns none: those of the other encoder are not of the positions that predict."""
        return []

    def _mask(self, attention_mask: AttentionMask) -> AttentionMask:
        return Causal(attention_mask) if self.causal and not isinstance(attention_mask, Causal) else attention_mask


def _before(positions: Tensor | None) -> Tensor | None:
    return None if positions is None else (positions - 1).clamp(min=0)


def _shifted(hidden: Tensor, positions: Tensor | None) -> Tensor:
    """Returns hidden states (B, T, H) one position later; those at positions (B, K), which are, as they are."""
    return hidden if positions is not None else torch.cat([hidden[:, :1], hidden[:, :-1]], 1)
