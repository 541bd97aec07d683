"""Texts of tagged words as rows of tokens, read from disk on demand."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.data.rows import Rows


@dataclass(frozen=True)
class Tags:
    """All W words of the D texts of a split.

    Attributes:
        tags: (W,) int64.
        cases: (W,) int64, the `Case` of each.
        begins: (D + 1,) where the words of each text begin, and where the last ones end.
    """

    tags: np.ndarray
    cases: np.ndarray
    begins: np.ndarray


class TaggedRows(Rows):
    """The rows of one split, in whose texts all words have tags.

    Args:
        tags: of all words of the split.
        first_tokens: (N,) which word, by its number in its text, a token is the first of; see `FirstTokens`.
        rows: see `Rows`.
    Attributes:
        opens: (R,) whether a row begins where its text does; each text has one such row.
    """

    def __init__(self, tags: Tags, first_tokens: np.ndarray, **rows: Any):
        super().__init__(targets=tags.tags, **rows)
        self.tags, self.first_tokens = tags, first_tokens
        begins = np.concatenate([[0], np.asarray(self.tokens.ends)])  # of each text
        self.opens = self.segments.begins == begins[self.documents]

    def read(self, rows: np.ndarray, epochs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the rows numbered `rows` (B,) as a batch.

        Returns:
            What `Rows.read` returns, but (B, K) of the words of each row: `positions` of their first tokens,
            `targets`, their tags, `cases`, the `Case` of each, `valid`, False at padding, and `places`, their
            numbers in their texts; and `opens` (B,).
        """
        batch, index, real = self._tokens_of(rows, epochs)
        segments, texts = self.segments, batch["texts"]
        own = real & (index >= segments.begins[rows][:, None]) & (index < segments.ends[rows][:, None])
        words = np.where(own, self.first_tokens[np.where(real, index, 0)], -1)
        counts = (words >= 0).sum(axis=1)
        valid = np.arange(max(int(counts.max(initial=0)), 1)) < counts[:, None]
        positions, places = np.zeros(valid.shape, np.int64), np.zeros(valid.shape, np.int64)
        row, column = np.nonzero(words >= 0)
        positions[valid], places[valid] = column + 1, words[row, column]  # [CLS] comes first
        word = self.tags.begins[texts][:, None] + places
        return batch | {
            "positions": positions,
            "targets": np.where(valid, self.tags.tags[word], 0),
            "cases": np.where(valid, self.tags.cases[word], 0),
            "valid": valid,
            "places": places,
            "opens": self.opens[rows],
        }

    def read_gold(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the tags of whole texts, including those of words that have no token.

        Returns:
            gold: (B, W) int64, for each row that opens its text the tags of all words of the text; -1 after them,
                and in the other rows.
        """
        begins, texts = self.tags.begins, self.documents[rows]
        counts = np.where(self.opens[rows], begins[texts + 1] - begins[texts], 0)
        column = np.arange(counts.max(initial=0))
        known = column < counts[:, None]
        word = np.where(known, begins[texts][:, None] + column, 0)
        return {"gold": np.where(known, self.tags.tags[word], -1)}
