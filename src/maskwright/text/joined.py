"""Several arrays on disk that are read as one."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np


class Joined:
    """One-dimensional arrays one after another, of which only what is asked for is read.

    Args:
        parts: arrays of one type, at least one.
        counted: whether the numbers are places in another array of the same parts, such as the ends of documents:
            those of each part then go on after the last number of the part before.
    """

    def __init__(self, parts: Sequence[np.ndarray], counted: bool = False):
        self.parts = [np.asarray(part) for part in parts]  # slices of a np.memmap take longer
        self.dtype = parts[0].dtype
        self.edges = np.cumsum([0, *map(len, parts)])
        lasts = [int(part[-1]) if counted and len(part) else 0 for part in parts]
        self.added = np.cumsum([0, *lasts[:-1]]).astype(self.dtype)

    def __len__(self) -> int:
        return int(self.edges[-1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def __getitem__(self, index: Any) -> Any:
        """Returns the number at an index, or the array of those at a slice, or at an array of indices from 0."""
        if isinstance(index, slice):
            first, last, step = index.indices(len(self))
            return self._between(first, last)[::step] if step > 0 else self[:][index]
        if np.ndim(index) == 0:
            return self[int(index) % len(self) :][0] if len(self) else np.zeros(0, self.dtype)[index]
        return self._at(np.asarray(index))

    def _between(self, first: int, last: int) -> np.ndarray:
        if last <= first:
            return np.zeros(0, self.dtype)
        begin, end = self._part(np.array([first, last - 1]))
        found = [
            self.parts[part][max(first - self.edges[part], 0) : last - self.edges[part]] + self.added[part]
            for part in range(begin, end + 1)
        ]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _at(self, index: np.ndarray) -> np.ndarray:
        flat = index.ravel()
        part = self._part(flat)
        found = np.empty(len(flat), self.dtype)
        # rows of tokens are runs of indices, so that a part is read once for most rows of a batch
        edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(flat)]
        for first, last in pairwise(edges):
            if first < last:
                own = part[first]
                found[first:last] = self.parts[own][flat[first:last] - self.edges[own]]
        if self.added.any():
            found += self.added[part]
        return found.reshape(index.shape)

    def _part(self, index: np.ndarray) -> np.ndarray:
        """Returns which part holds each index."""
        return np.searchsorted(self.edges, index, side="right") - 1
