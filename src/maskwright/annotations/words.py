"""Words as numbers: one 64-bit key for the tokens of a word, whatever the corpus."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from maskwright.core import hashing

_MERGE_AT = 8_000_000  # keys held before they are merged


def word_keys(ids: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The key of each word, and the index of its first token; both (W,) int64.

    Args:
        ids: (N,) token ids.
        starts: (N,) bool, whether each token starts a word; the first one does.
    """
    first = np.flatnonzero(starts)
    if not len(first):
        return np.zeros(0, np.int64), first
    lengths = np.diff(first, append=len(ids))
    offset = np.arange(len(ids)) - np.repeat(first, lengths)
    return hashing.mix(np.add.reduceat(hashing.fold(offset, ids.astype(np.int64)), first)), first


def ngram_keys(keys: np.ndarray, n: int) -> np.ndarray:
    """(W - n + 1,) int64: one key for each `n` neighbours of (W,) word keys."""
    number = max(len(keys) - n + 1, 0)
    joined = keys[:number]
    for i in range(1, n):
        joined = hashing.fold(joined, keys[i : number + i])
    return joined


@dataclass
class Tally:
    """Counts keys that come in portions, in memory for the distinct ones."""

    _keys: list[np.ndarray] = field(default_factory=list)
    _counts: list[np.ndarray] = field(default_factory=list)

    def add(self, keys: np.ndarray) -> None:
        keys, counts = np.unique(keys, return_counts=True)
        self._keys.append(keys)
        self._counts.append(counts)
        if len(self._keys) > 1 and sum(map(len, self._keys[1:])) > max(_MERGE_AT, len(self._keys[0])):
            self.counts()

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct keys, rising, and how often each was added."""
        if not self._keys:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        keys, inverse = np.unique(np.concatenate(self._keys), return_inverse=True)
        counts = np.zeros(len(keys), np.int64)
        np.add.at(counts, inverse, np.concatenate(self._counts))
        self._keys, self._counts = [keys], [counts]
        return keys, counts


def look_up(table: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of `keys` (W,) in a sorted `table` (D,), and whether each is there.

    The index of a key that is not in the table is meaningless.
    """
    if not len(table):
        return np.zeros(len(keys), np.int64), np.zeros(len(keys), bool)
    index = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return index, table[index] == keys


def save_table(folder: Path, keys: np.ndarray, values: np.ndarray) -> None:
    """Writes the rising keys of words (D,), and a number for each."""
    np.save(folder / "words.npy", keys)
    np.save(folder / "values.npy", values)


def load_table(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns what `save_table` wrote."""
    return np.load(folder / "words.npy"), np.load(folder / "values.npy")
