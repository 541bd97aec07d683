"""Layers below the one that mask tokens join (3ML, Liao et al., 2022, arXiv 2211.04898).

A mask token says nothing but where it stands. The lower layers therefore read the other positions alone, which are
fewer; the mask tokens join them, as embeddings, before the last layers. Which these are, the encoder knows.

The values of the first layer, which `value_residual` mixes into those of later ones, are a linear map of each
embedding by itself. So mask tokens have them too.

Shapes: B rows, T positions, W positions that the lower layers read, H hidden size, N heads, D = H / N.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from maskwright.models.layers.causal import Bidirectional
from maskwright.models.layers.gather import gather
from maskwright.models.layers.rotary import Rotary, rotary_at
from maskwright.models.layers.varlen_attention import Sequences


def read_packed(
    layers: Sequence[Any], hidden_BTH: Tensor, rotary: Rotary, attention_mask: Bidirectional, late: Tensor
) -> tuple[Tensor, Tensor]:
    """Applies layers to the positions that are not `late`, moved together; those that are stay as they are.

    Rows with equally many late positions need no padding; the others are padded to the longest. On a GPU the host
    waits for the numbers of positions.

    Args:
        layers: at least one `Layer`.
        attention_mask: as the layers take it.
        late: (B, T) bool.
    Returns:
        (B, T, H); and the values (B, T, N, D) of the first layer.
    """
    rows, length = late.shape
    fewest, most = torch.stack(late.sum(1).aminmax()).tolist()
    if most == 0:
        return _applied(layers, hidden_BTH, rotary, attention_mask)
    order = late.byte().argsort(dim=1, stable=True)  # the others first, each kind in its order
    read = order[:, : max(length - fewest, 1)]
    valid = None if fewest == most < length else ~late.gather(1, read)
    rotary_W = rotary_at(rotary, read)
    mask_W = _gathered(attention_mask, read, valid, rows)
    before_BWH = gather(hidden_BTH, read)
    after_BWH, first_BWND = _applied(layers, before_BWH, rotary_W, mask_W)
    after_BWH = after_BWH.to(hidden_BTH.dtype)
    if valid is not None:  # filled up with late positions
        after_BWH = torch.where(valid[..., None], after_BWH, before_BWH)
    joined_BTH = hidden_BTH.scatter(1, read[..., None].expand_as(after_BWH), after_BWH)
    own = order[:, length - most :]  # each late position, and in some rows others too
    value_BLND = layers[0].value(gather(hidden_BTH, own)).to(first_BWND.dtype)
    first_BTND = first_BWND.new_zeros(rows, length, *first_BWND.shape[2:])
    for places, value in ((read, first_BWND), (own, value_BLND)):
        first_BTND = first_BTND.scatter(1, places[..., None, None].expand_as(value), value)
    return joined_BTH, first_BTND


def read_in_place(
    layers: Sequence[Any], hidden_BTH: Tensor, rotary: Rotary, attention_mask: Bidirectional, late: Tensor
) -> tuple[Tensor, Tensor]:
    """Computes what `read_packed` does at all T positions, none of which sees a late one.

    It saves no time, but its shapes do not depend on the data.
    """
    every = torch.arange(late.shape[1], device=late.device).expand_as(late)
    mask = _gathered(attention_mask, every, ~late, len(late))
    after_BTH, first_BTND = _applied(layers, hidden_BTH, rotary, mask)
    return torch.where(late[..., None], hidden_BTH, after_BTH.to(hidden_BTH.dtype)), first_BTND


def _applied(
    layers: Sequence[Any], hidden: Tensor, rotary: Rotary, attention_mask: Bidirectional
) -> tuple[Tensor, Tensor]:
    """Returns hidden states after these layers, and the values of the first of them."""
    first_value = None
    for layer in layers:
        hidden, value = layer(hidden, rotary, attention_mask, first_value)
        first_value = value if first_value is None else first_value
    assert first_value is not None
    return hidden, first_value


def _gathered(attention_mask: Bidirectional, read: Tensor, valid: Tensor | None, rows: int) -> Tensor | None:
    """Returns the attention mask between the positions `read` (B, W), where those that are not valid see all others
    and nothing sees them: None, or bool that broadcasts to (B, N, W, W)."""
    seen = None if valid is None else valid[:, None, None]
    if attention_mask is None:
        return seen
    if isinstance(attention_mask, Sequences):
        number = attention_mask.numbers(rows).gather(1, read)
        mask = number[:, None, :, None] == number[:, None, None, :]
    elif attention_mask.shape[2] == 1:
        mask = attention_mask.gather(3, read[:, None, None])
        return mask if seen is None else mask & seen
    else:
        width = read.shape[1]
        of_rows = attention_mask.gather(2, read[:, None, :, None].expand(-1, -1, -1, attention_mask.shape[3]))
        mask = of_rows.gather(3, read[:, None, None].expand(-1, -1, width, -1))
    if seen is None or valid is None:
        return mask
    return (mask | ~valid[:, None, :, None]) & seen
