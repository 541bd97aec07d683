"""A prediction of a text with the names of its parts, and how a text is cut into units.

Shapes: T positions of a row, U units, N tokens of a text.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from maskwright.annotations.annotation import Annotation
from maskwright.annotations.shards import Shard
from maskwright.inference.explain.prediction import Prediction
from maskwright.masking import Draws
from maskwright.text.packing import number_units
from maskwright.text.text_rows import Encoded, Window
from maskwright.text.tokenizer import Tokenizer


class Question(NamedTuple):
    """What of a text is explained.

    Attributes:
        prediction: the number, and the row that it is computed from.
        target: what is predicted: a class, a tag, a token, or `value`.
        of: the characters [start, end) that it is predicted of, a word or a mask token; None if of the whole text.
        spans: the characters [start, end) of each unit.
    """

    prediction: Prediction
    target: str
    of: tuple[int, int] | None
    spans: list[tuple[int, int]]


class Cutter:
    """Cuts the row of a text into units.

    Args:
        units: an option of `conf/mask/units`; an annotation that learns nothing from a corpus.
        seed: of units that are drawn at random, such as spans.
    """

    def __init__(self, units: Any, tokenizer: Tokenizer, seed: int = 0):
        self.units, self.tokenizer, self.seed = units, tokenizer, seed

    def __call__(self, encoded: Encoded, window: Window, fixed: Sequence[int] = ()) -> np.ndarray:
        """Returns the unit of each position of a row, (T,), numbered from 0; -1 at those that are never hidden.

        Args:
            window: the tokens that the row shows.
            fixed: tokens of the text that are never hidden.
        """
        shown = slice(window.begin, window.end)
        special = self.tokenizer.is_special[encoded.ids]
        special[list(fixed)] = True

        def row(opens: np.ndarray) -> torch.Tensor:
            units = number_units(
                opens[None, shown], special[None, shown], np.zeros((1, window.end - window.begin), bool)
            )
            return torch.from_numpy(np.pad(units, ((0, 0), (1, 1)), constant_values=-1))

        batch = {"words": row(encoded.starts)}
        if isinstance(self.units, Annotation):
            batch[self.units.name] = row(self._annotated(encoded))
        zero = torch.zeros(1, dtype=torch.int64)
        found = self.units(batch, Draws(self.seed, zero, zero), (batch["words"] >= 0).sum(1, keepdim=True))
        units = np.where(batch["words"] >= 0, found, -1)[0]
        _, first, number = np.unique(units[units >= 0], return_index=True, return_inverse=True)
        order = np.argsort(np.argsort(first))  # in the order of the text
        units[units >= 0] = order[number]
        return units

    def _annotated(self, encoded: Encoded) -> np.ndarray:
        """Returns which tokens open a unit, (N,) bool."""
        shard = Shard(
            np.append(encoded.ids, self.tokenizer.sep_id),
            np.append(encoded.starts, True),
            np.array([len(encoded.ids) + 1]),
            [encoded.text],
            [None],
            np.append(encoded.offsets, [[0, 0]], axis=0),
        )
        return self.units.open(Path(), self.tokenizer)(shard)[:-1]


def spans_of(encoded: Encoded, window: Window, units: np.ndarray) -> list[tuple[int, int]]:
    """Returns the characters [start, end) of each unit, blanks at both ends left out.

    Args:
        units: the return value of `Cutter`.
    """
    own = units[1:-1]
    spans = []
    for number in range(int(own.max(initial=-1)) + 1):
        offsets = encoded.offsets[window.begin : window.end][own == number]
        start, end = int(offsets[:, 0].min()), int(offsets[:, 1].max())
        blank = len(encoded.text[start:end]) - len(encoded.text[start:end].lstrip())
        spans.append((start + blank, start + len(encoded.text[start:end].rstrip())))
    return spans
