"""The random numbers of one batch's masks."""

import zlib

import torch
from torch import Tensor

from maskwright import hashing


class Draws:
    """Random numbers that are a pure function of (seed, epoch, example, stream, index).

    Args:
        seed: one number for the whole run.
        epochs: (B,) int64, how often the example has been seen before.
        examples: (B,) int64, the example's number in the whole data set.
    """

    def __init__(self, seed: int, epochs: Tensor, examples: Tensor):
        self.seed, self.epochs, self.examples = seed, epochs, examples

    def uniform(self, stream: str, index: Tensor) -> Tensor:
        """Numbers in (0, 1) for each of `index` (B, N) int64, independent between streams.

        Returns:
            (B, N) float64; equal indices of a row get equal numbers.
        """
        key = hashing.start(self.seed, zlib.crc32(stream.encode()))
        rows = hashing.fold(hashing.fold(torch.full_like(self.epochs, key), self.epochs), self.examples)
        return hashing.uniform(hashing.fold(rows[:, None], index))
