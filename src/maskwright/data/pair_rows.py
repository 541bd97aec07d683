"""Labelled pairs of texts as rows of tokens, read from disk on demand."""

from typing import Any

import numpy as np

from maskwright.data.rows import Rows
from maskwright.data.windows import Segments, Truncate, cut, whole_texts
from maskwright.text.packing import pair_rows_at
from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokenizer.pairs import pair_lengths


class PairRows(Rows):
    """The rows of one split, each of which shows two texts.

    The texts of the D pairs follow one another in `tokens`: pair d has the texts 2 d and 2 d + 1.

    Args:
        segments: (2 D,) what is shown of each text, see `cut_pairs`.
        rows: see `Rows`; `targets` are of the pairs, (D,).
    Attributes:
        documents: (D,) the number of each pair.
    """

    def __init__(self, segments: Segments, **rows: Any):
        super().__init__(segments=segments, **rows)
        self.lengths_of_texts = self.shown.reshape(-1, 2)
        self.documents = np.arange(len(self.lengths_of_texts))
        self.lengths = self.lengths_of_texts.sum(axis=1) + self.tokenizer.pair_layout.special

    def _tokens_of(
        self, rows: np.ndarray, epochs: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """See `Rows`; `index` and `real` have no place for what is between the texts."""
        first, both = self.lengths_of_texts[rows, :1], self.lengths_of_texts[rows].sum(axis=1)[:, None]
        column = np.arange(int(both.max(initial=0)))
        is_second = column >= first
        real = column < both
        index = self._places(2 * rows[:, None] + is_second, column - is_second * first)
        tokens = self.tokens
        batch = pair_rows_at(index, real, first[:, 0], tokens.ids, tokens.flags, self.annotations, self.tokenizer)
        return batch | {"examples": rows, "epochs": epochs, "texts": self.documents[rows]}, index, real


def cut_pairs(ends: np.ndarray, block_size: int, truncate: Truncate, tokenizer: Tokenizer) -> Segments:
    """Returns what rows show of the two texts of each pair: the longer one is cut first, see `pair_lengths`.

    Args:
        ends: (2 D,) the index after the separator of each text.
        block_size: the most positions of a row, special tokens included.
        truncate: which tokens are shown of a text that is cut: `head`, `tail` or `both`.
    """
    texts = whole_texts(ends)
    lengths = (texts.ends - texts.begins).reshape(-1, 2)
    return cut(texts, pair_lengths(lengths, block_size - tokenizer.pair_layout.special).ravel(), truncate)
