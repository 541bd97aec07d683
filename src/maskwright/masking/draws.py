"""The random numbers of one batch's masks."""

import zlib

import torch
from torch import Tensor

from maskwright.core import hashing


class Draws:
    """Random numbers that are a pure function of (seed, epoch, example, stream, index).

    Args:
        seed: one number for the whole run.
        epochs: (B,) int64, how often the example has been seen before.
        examples: (B,) int64, the example's number in the whole data set.
    """

    def __init__(self, seed: int, epochs: Tensor, examples: Tensor):
        self.examples = examples
        key = torch.full_like(epochs, hashing.start(seed))
        self._rows = hashing.fold(hashing.fold(key, epochs), examples)[:, None]

    def hashes(self, stream: str, index: Tensor) -> Tensor:
        """64 random bits for each of `index`, (B, N) or (1, N) int64, independent between streams.

        Returns:
            (B, N) int64; equal indices of a row get equal numbers.
        """
        return hashing.fold(hashing.fold(self._rows, zlib.crc32(stream.encode())), index)

    def row(self, stream: str) -> Tensor:
        """One number in (0, 1) for each row, (B, 1) float64."""
        return hashing.uniform(hashing.fold(self._rows, zlib.crc32(stream.encode())))

    def uniform(self, stream: str, index: Tensor) -> Tensor:
        """Numbers in (0, 1), float64, for the indices that `hashes` takes."""
        return hashing.uniform(self.hashes(stream, index))
