"""Mixes neighbouring embeddings before the first layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.models.layers.attention_mask import AttentionMask, sees_neighbour
from maskwright.models.layers.causal import Causal


class Convolution(nn.Module):
    """Adds to each position a sum of its neighbours, weighted channel by channel.

    Without it, an encoder must first learn to attend to neighbours before it can learn anything from context,
    and its loss stays at the unigram entropy until then. This is a depthwise convolution, as in the attention
    of Primer (So et al., 2021), but applied once, to the embeddings. It starts as the identity.

    Args:
        reach: neighbours on each side.
    """

    def __init__(self, hidden_size: int, reach: int):
        super().__init__()
        self.reach = reach
        self.weights = nn.ParameterList(torch.zeros(hidden_size) for _ in range(2 * reach))

    def neighbour(self, offset: int) -> Tensor:
        """The weights (H,) of the position that is `offset` after another, from -reach to reach without 0."""
        return self.weights[self.reach + offset - (offset > 0)]

    def forward(self, hidden_BTH: Tensor, attention_mask: AttentionMask, unseen: Tensor | None = None) -> Tensor:
        """Returns (B, T, H), where each position is mixed with the neighbours that the mask lets it attend to.

        Args:
            unseen: (B, T) bool, further positions that no other is mixed with; None for no others.
        """
        length, reach = hidden_BTH.shape[1], self.reach
        mixed_in_BTH = hidden_BTH if unseen is None else hidden_BTH.masked_fill(unseen[..., None], 0.0)
        padded = F.pad(mixed_in_BTH, (0, 0, reach, reach))
        causal = attention_mask if isinstance(attention_mask, Causal) else None
        sees = attention_mask.within if isinstance(attention_mask, Causal) else attention_mask
        mixed_BTH = hidden_BTH
        for weight_H, offset in zip(self.weights, (*range(-reach, 0), *range(1, reach + 1)), strict=True):
            neighbour_BTH = padded[:, reach + offset : reach + offset + length]
            if sees is not None:
                neighbour_BTH = neighbour_BTH * sees_neighbour(sees, offset, len(hidden_BTH))[..., None]
            if causal is not None and offset > 0:  # the weights keep a gradient, of zeros
                neighbour_BTH = neighbour_BTH * (0 if causal.rows is None else ~causal.rows[:, None, None])
            mixed_BTH = torch.addcmul(mixed_BTH, neighbour_BTH, weight_H)
        return mixed_BTH
