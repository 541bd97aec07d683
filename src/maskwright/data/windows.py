"""Which tokens of a text its rows show: the first ones, the last ones, both, or all in windows."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Truncate = Literal["head", "tail", "both", "windows"]


@dataclass(frozen=True)
class Segments:
    """Runs of tokens, (R,) int64 each.

    Attributes:
        documents: the number of the text that a run is taken from.
        begins, ends: its first token, and the one after its last.
        least, most: how far the tokens around it belong to the same context.
        gaps: how many tokens are left out in the middle of it; None leaves out none.
    """

    documents: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    least: np.ndarray
    most: np.ndarray
    gaps: np.ndarray | None = None


def whole_texts(ends: np.ndarray, documents: np.ndarray | None = None) -> Segments:
    """Returns the D texts of a split, without the separators after them.

    Args:
        ends: (D,) the index after the separator of each text.
        documents: (D,) the number, at least 1, of the document that each text is a part of; its texts follow each
            other, and are the context of each of them. None makes each text its own context.
    """
    begins = np.concatenate([[0], ends[:-1]])
    texts = np.arange(len(ends))
    if documents is None:
        return Segments(texts, begins, ends - 1, begins, ends - 1)
    opens = np.diff(documents, prepend=0) != 0
    first = np.flatnonzero(opens)  # text of each document
    last = np.append(first[1:], len(ends)) - 1
    own = np.cumsum(opens) - 1
    return Segments(texts, begins, ends - 1, begins[first][own], ends[last][own] - 1)


def cut(texts: Segments, size: "int | np.ndarray", truncate: Truncate) -> Segments:
    """Returns the runs of at most `size` tokens that rows show of texts; see `LabelledData.truncate`.

    Args:
        size: of all texts, or (D,) of each, but not with windows.
    """
    length = texts.ends - texts.begins
    if truncate == "windows":
        number = np.maximum(-(-length // size), 1)
        text = np.repeat(np.arange(len(length)), number)
        window = np.arange(len(text)) - np.repeat(np.cumsum(number) - number, number)
        begins = texts.begins[text] + window * size
        ends = np.minimum(begins + size, texts.ends[text])
        return Segments(texts.documents[text], begins, ends, texts.least[text], texts.most[text])
    over = np.maximum(length - size, 0)
    begins, ends = texts.begins, texts.ends
    if truncate == "both":
        return Segments(texts.documents, begins, ends, begins, ends, over)
    begins, ends = (begins, ends - over) if truncate == "head" else (begins + over, ends)
    return Segments(texts.documents, begins, ends, begins, ends)
