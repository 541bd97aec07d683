"""Neighbouring embeddings mixed before the first layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.models.documents import Sequences


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
        self.weight = nn.Parameter(torch.zeros(2 * reach, hidden_size))

    def forward(self, hidden_BTH: Tensor, attention: Tensor | Sequences | None) -> Tensor:
        """(B, T, H), where each position takes in those neighbours that `attention` lets it see.

        Args:
            attention: as of `Transformer.forward`.
        """
        length, reach = hidden_BTH.shape[1], self.reach
        padded = F.pad(hidden_BTH, (0, 0, reach, reach))
        mixed_BTH = hidden_BTH
        offsets = (*range(-reach, 0), *range(1, reach + 1))
        for weight_H, offset in zip(self.weight, offsets, strict=True):
            if abs(offset) >= length:
                continue
            neighbour_BTH = padded[:, reach + offset : reach + offset + length]
            if attention is not None:
                neighbour_BTH = neighbour_BTH * _sees(attention, offset, hidden_BTH)[..., None]
            mixed_BTH = torch.addcmul(mixed_BTH, neighbour_BTH, weight_H)
        return mixed_BTH


def _sees(attention: Tensor | Sequences, offset: int, hidden_BTH: Tensor) -> Tensor:
    """(B, T): whether each position sees the one `offset` behind it; what is outside the row counts as unseen."""
    rows, length, _ = hidden_BTH.shape
    if isinstance(attention, Sequences):
        position = torch.arange(rows * length, device=hidden_BTH.device, dtype=attention.ends.dtype)
        number_BT = torch.searchsorted(attention.ends, position, right=True).view(rows, length)
        return number_BT == _shifted(number_BT, offset)
    if attention.ndim == 3:
        before, behind = max(-offset, 0), max(offset, 0)
        return F.pad(attention.diagonal(offset, 1, 2), (before, behind))
    return _shifted(attention, offset)


def _shifted(x_BT: Tensor, offset: int) -> Tensor:
    """What stands `offset` behind each position; 0 outside the row."""
    reach, length = abs(offset), x_BT.shape[1]
    return F.pad(x_BT, (reach, reach))[:, reach + offset : reach + offset + length]
