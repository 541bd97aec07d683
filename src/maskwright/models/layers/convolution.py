"""Neighbouring embeddings mixed before the first layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.models.layers.varlen_attention import Sequences


class Convolution(nn.Module):
    """Adds to each position a sum of its neighbours, weighted channel by channel.

    An encoder has to learn to look at neighbours before it can learn anything from context, and stays at
    the unigram entropy until it has; here it need not. A depthwise convolution, as in the attention of
    Primer (So et al., 2021), but once, on the embeddings. It starts as the identity.

    Args:
        reach: neighbours on each side.
    """

    def __init__(self, hidden_size: int, reach: int):
        super().__init__()
        self.reach = reach
        self.weights = nn.ParameterList(torch.zeros(hidden_size) for _ in range(2 * reach))

    def forward(self, hidden_BTH: Tensor, attention: Tensor | Sequences | None) -> Tensor:
        """(B, T, H), where each position takes in those neighbours that `attention` lets it see.

        Args:
            attention: as of `Transformer.forward`.
        """
        length, reach = hidden_BTH.shape[1], self.reach
        padded = F.pad(hidden_BTH, (0, 0, reach, reach))
        if isinstance(attention, Sequences):
            attention = attention.numbers(hidden_BTH.shape[0])
        mixed_BTH = hidden_BTH
        for weight_H, offset in zip(self.weights, (*range(-reach, 0), *range(1, reach + 1)), strict=True):
            if abs(offset) >= length:
                continue
            neighbour_BTH = padded[:, reach + offset : reach + offset + length]
            if attention is not None:
                neighbour_BTH = neighbour_BTH * _sees(attention, offset)[..., None]
            mixed_BTH = torch.addcmul(mixed_BTH, neighbour_BTH, weight_H)
        return mixed_BTH


def _sees(attention: Tensor, offset: int) -> Tensor:
    """(B, T): whether each position sees the one `offset` behind it; what is outside the row counts as unseen.

    Args:
        attention: bool (B, T) or (B, T, T); or int (B, T), numbers from 1 on of sequences that see themselves.
    """
    if attention.ndim == 3:
        before, behind = max(-offset, 0), max(offset, 0)
        return F.pad(attention.diagonal(offset, 1, 2), (before, behind))
    reach, length = abs(offset), attention.shape[1]
    there = F.pad(attention, (reach, reach))[:, reach + offset : reach + offset + length]
    return there if attention.dtype == torch.bool else there == attention
