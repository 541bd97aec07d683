"""A text as tokens, and the windows that a model with short rows reads a long one in."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from maskwright.core.errors import UserError
from maskwright.text.tokenizer import Tokenizer

Long = Literal["refuse", "windows"]  # what is done with a text that does not fit in a row


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


def encode(texts: Sequence[str], tokenizer: Tokenizer, room: int | None, long: Long = "windows") -> list[Encoded]:
    """Returns texts as tokens.

    Args:
        room: the most tokens of a text in a row; None if there is no limit.
        long: `refuse` raises an error for a text that does not fit in a row.
    Raises:
        UserError: there is one.
    """
    found = [
        Encoded(text, *arrays) for text, arrays in zip(texts, tokenizer.encode(texts, offsets=True), strict=True)
    ]
    most = max(found, key=lambda text: len(text.ids), default=None)
    if long == "refuse" and most is not None and room is not None and len(most.ids) > room:
        instead = "Shorten it, or set long=windows, which reads it in overlapping windows."
        raise too_long(most.text, len(most.ids), room, instead)
    return found


def too_long(text: str, tokens: int, room: int, instead: str) -> UserError:
    """Returns the error of a text that does not fit in a row.

    Args:
        room: the most tokens of a text in a row.
        instead: what to do, as a sentence.
    """
    return UserError(
        f"The text {shortened(text)} has {tokens:,} tokens, but the model reads rows of {room:,}. {instead}"
    )


def shortened(text: str, length: int = 60) -> str:
    """Returns the beginning of a text in quotes, for messages."""
    return repr(text if len(text) <= length else f"{text[:length]}…")
