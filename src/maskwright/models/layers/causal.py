"""Attention to what comes before, alone or beside what else a mask hides.

Shapes: B rows, T positions.
"""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from maskwright.models.layers.varlen_attention import Sequences

Bidirectional: TypeAlias = Tensor | Sequences | None
"""The masks that look to both sides, see `AttentionMask`."""


@dataclass(frozen=True)
class Causal:
    """Each position sees itself and those before it, of those that another mask lets it see.

    Attributes:
        within: the other mask; None hides nothing more.
        rows: (B,) bool, which rows read so, while the others see what `within` lets them see; None for all rows.
    """

    within: Bidirectional = None
    rows: Tensor | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it needs no mask (B, T, T): kernels of attention are causal by themselves."""
        return self.rows is None and not isinstance(self.within, Tensor)

    def dense(self, rows: int, length: int, device: torch.device) -> Tensor:
        """Returns the mask as bool, (B, T, T) or (1, T, T): True where the row's position sees the column's.

        Each position sees itself, also at padding, since attention to nothing is not defined.
        """
        position = torch.arange(length, device=device)
        seen = (position[:, None] >= position)[None]
        if self.rows is not None:
            seen = seen | ~self.rows[:, None, None]
        within = self.within
        if isinstance(within, Sequences):
            numbers = within.numbers(rows)
            within = numbers[:, :, None] == numbers[:, None, :]
        if within is not None:
            seen = seen & (within if within.ndim == 3 else within[:, None, :])
        return seen | (position[:, None] == position)
