"""The random numbers of chains: each a pure function of what it is for.

Shapes: C chains, N numbers for each.
"""

import zlib

import numpy as np
import torch
from torch import Tensor

from maskwright.core import hashing


class Randomness:
    """Random numbers that are a pure function of (seed, chain, stream, step, index).

    Args:
        seed: of all chains.
        chains: (C,) int64, their numbers.
    """

    def __init__(self, seed: int, chains: np.ndarray):
        start = np.full(len(chains), hashing.start(seed, 0x67656E))  # "gen"
        self._chains = hashing.fold(start, chains)[:, None]

    def uniform(self, stream: str, step: int, index: np.ndarray) -> Tensor:
        """Numbers in (0, 1), float64, for each of `index`, (C, N) or (1, N) int64."""
        keys = hashing.fold(hashing.fold(self._chains, zlib.crc32(stream.encode())), step)
        return torch.from_numpy(hashing.uniform(hashing.fold(keys, index)))

    def shuffled(self, stream: str, step: int, index: np.ndarray) -> np.ndarray:
        """Returns the numbers `index` (N,), in an order of its own for each chain, (C, N)."""
        return index[self.uniform(stream, step, index[None]).argsort(dim=1, stable=True).numpy()]
