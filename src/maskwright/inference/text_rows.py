"""A text as tokens, and the windows that a model with short rows reads a long one in."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Encoded:
    """A text as N tokens, without special tokens around them.

    Attributes:
        text: its characters.
        ids: (N,) int64.
        starts: (N,) bool, whether each token starts a word.
        offsets: (N, 2) the first character of each token in `text`, and the one after its last.
    """

    text: str
    ids: np.ndarray
    starts: np.ndarray
    offsets: np.ndarray

    @property
    def words(self) -> np.ndarray:
        """(N,) the number of the word that each token belongs to."""
        return np.cumsum(self.starts) - 1


class Window(NamedTuple):
    """A part of a text that is read as one row.

    Attributes:
        begin, end: the tokens that the row shows.
        first, last: the tokens, from `first` to before `last`, that it is asked about; the others are context.
    """

    begin: int
    end: int
    first: int
    last: int


def windows(length: int, room: int | None) -> list[Window]:
    """Returns the windows of a text of `length` tokens, which together are asked about each token once.

    Two neighbours overlap by half of `room`, and each token belongs to the window that shows more on both of its
    sides.

    Args:
        room: the most tokens of a row, special tokens left out; None if there is no limit.
    """
    if room is None or length <= room:
        return [Window(0, length, 0, length)]
    stride = max(room // 2, 1)
    begins = [*range(0, length - room, stride), length - room]
    # halfway between the end of one and the beginning of the next
    cuts = [0, *((a + room + b) // 2 for a, b in pairwise(begins)), length]
    return [Window(begin, begin + room, *own) for begin, own in zip(begins, pairwise(cuts), strict=True)]
