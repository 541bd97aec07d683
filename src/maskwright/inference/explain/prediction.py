"""What is explained: a number that a model computes from a row, and the units of the row that it may depend on.

Shapes: B rows, T positions, U units.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.inference.asked import TOKENS_PER_BATCH
from maskwright.models import Encoder


class Unsuited(ValueError):
    """A method does not suit an encoder; the message says what the encoder lacks."""


@dataclass(frozen=True)
class Prediction:
    """A number that a model computes from a row, such as the probability of a class.

    Attributes:
        ids: (T,) int64, on the device of the model.
        units: (T,) int64, the unit that each position belongs to, numbered from 0; -1 where nothing is hidden, as
            at special tokens.
        compute: returns the number (B,) of each of the rows (B, T), through `encoder.embedding` and `tables`.
        encoder: the encoder that `compute` calls, in evaluation mode.
        mask_id: what hides a token.
        read_from: (T,) how much the number is read from the hidden state of each position; they add up to 1.
        tokens_per_batch: positions of a forward pass.
        tables: modules through which `compute` reads the token at a position by its id, each with that position.
    """

    ids: Tensor
    units: np.ndarray
    compute: Callable[[Tensor], Tensor]
    encoder: Encoder
    mask_id: int
    read_from: Tensor
    tokens_per_batch: int = TOKENS_PER_BATCH
    tables: tuple[tuple[nn.Module, int], ...] = ()

    @property
    def count(self) -> int:
        """U."""
        return int(self.units.max(initial=-1)) + 1

    @property
    def rows_at_once(self) -> int:
        return max(self.tokens_per_batch // len(self.ids), 1)

    def row(self, hidden: np.ndarray) -> Tensor:
        """Returns rows (B, T) in which units are replaced by the mask token.

        Args:
            hidden: (B, U) bool.
        """
        positions = np.append(hidden, np.zeros((len(hidden), 1), bool), axis=1)[
            :, self.units
        ]  # unit -1 is the last
        return self.ids.where(~torch.from_numpy(positions).to(self.ids.device), self.mask_id)

    @torch.no_grad()
    def scores(self, hidden: np.ndarray) -> np.ndarray:
        """Returns the number (B,) of each row in which these units (B, U) are hidden."""
        runs = [hidden[first : first + self.rows_at_once] for first in range(0, len(hidden), self.rows_at_once)]
        return np.concatenate([self.compute(self.row(run)).double().cpu().numpy() for run in runs])

    @cached_property
    def whole(self) -> float:
        """The number with nothing hidden."""
        return float(self.scores(np.zeros((1, self.count), bool))[0])

    @cached_property
    def empty(self) -> float:
        """The number with all units hidden."""
        return float(self.scores(np.ones((1, self.count), bool))[0])

    def by_unit(self, values: np.ndarray) -> np.ndarray:
        """Returns the sums (U,) of values (T,) over the positions of each unit."""
        return np.bincount(self.units + 1, values, minlength=self.count + 1)[1:]
