"""Which positions may attend to which others."""

from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright.models.layers.causal import Bidirectional, Causal
from maskwright.models.layers.varlen_attention import Sequences

AttentionMask: TypeAlias = Bidirectional | Causal
"""What encoders take as `attention_mask`:

- None: every position sees every other;
- bool (B, T): False at padding, which no position sees;
- bool (B, T, T): True where the row's position sees the column's, as for documents that are kept apart; False on
  the diagonal at padding, which no position sees;
- `Sequences`: each position sees those of its own sequence. On a GPU in half precision, without dropout;
- `Causal`: one of these, by which no position sees a later one.

Every encoder takes the first two. Those with `keeps_documents_apart` take the third, those with a `head_size` the
fourth, and those that declare `can_be_causal` the last.
"""


def padding_only(attention_mask: AttentionMask) -> Tensor | None:
    """Returns the mask for an encoder that cannot keep documents apart: None, or bool (B, T).

    Raises:
        ValueError: the mask keeps the documents of a row apart, or is causal.
    """
    if isinstance(attention_mask, Causal):
        raise ValueError("this encoder cannot read from left to right alone")
    if isinstance(attention_mask, Sequences) or (attention_mask is not None and attention_mask.ndim != 2):
        raise ValueError("this encoder cannot keep the documents in a row apart")
    return attention_mask


def documents_apart(documents: Tensor) -> Tensor:
    """Returns the mask (B, T, T) by which each position sees those of its own document, and none sees padding.

    Padding sees all others, since attention to nothing is not defined.

    Args:
        documents: (B, T) their numbers, -1 at padding.
    """
    real = documents >= 0
    return ((documents[:, :, None] == documents[:, None, :]) | ~real[:, :, None]) & real[:, None, :]


def source_first(real: Tensor, begins: Tensor) -> Tensor:
    """Returns the mask (B, T, T) of rows of two texts, of which the first does not see the second.

    What a model computes of the first text then does not depend on the second, or on how long it is. Positions of
    the second text see both.

    Args:
        real: (B, T) bool, False at padding, which no position sees.
        begins: (B,) where the second text begins.
    """
    is_first = torch.arange(real.shape[1], device=real.device) < begins[:, None]
    return (is_first[:, None, :] | ~is_first[:, :, None]) & real[:, None, :]


def sees_neighbour(mask: Tensor | Sequences, offset: int, rows: int) -> Tensor:
    """Returns whether each position (B, T) sees the one `offset` after it; positions outside the row are not seen.

    Args:
        mask: see `AttentionMask`.
        rows: B.
    """
    if isinstance(mask, Sequences):
        mask = mask.numbers(rows)
    if mask.ndim == 3:
        outside = min(abs(offset), mask.shape[1])
        return F.pad(mask.diagonal(offset, 1, 2), (outside, 0) if offset < 0 else (0, outside))
    reach, length = abs(offset), mask.shape[1]
    neighbour = F.pad(mask, (reach, reach))[:, reach + offset : reach + offset + length]
    return neighbour if mask.dtype == torch.bool else neighbour == mask  # of the same sequence
