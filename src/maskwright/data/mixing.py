"""Which source each place of a stream is of: sources in given shares, and nothing stored.

The places of a source are counted out of all places as evenly as whole numbers allow, and its own examples are a
shuffled stream, see `shuffling`. Both can be read from any place on, so that a mixed stream, too, starts anywhere
and is shared by any number of devices. Of the first p places, a source has its share of p, up to one place for each
source.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from maskwright.core import hashing
from maskwright.data import shuffling

_FINEST = 10**6  # the largest denominator of a share; products with 10^12 places still fit 64 bits


class Mixture:
    """A stream of the examples of several sources.

    Args:
        sizes: the number of examples of each source; those of the first come first in their numbering.
        shares: of each source; they add up to 1.
        seed: of the order of the examples of each source.
    """

    def __init__(self, sizes: Sequence[int], shares: Sequence[float], seed: int):
        self.sizes, self.seed = [*sizes], seed
        self.firsts = np.cumsum([0, *sizes[:-1]])
        left = [sum(shares[number:]) for number in range(len(shares))]
        self._of_rest = [
            max(Fraction(share / rest).limit_denominator(_FINEST), Fraction(1, _FINEST))
            for share, rest in zip(shares[:-1], left, strict=False)
        ]

    def place(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the source (B,) of each of `positions` (B,) of the stream, and its position among those of it."""
        rest = np.array(positions, dtype=np.int64)
        source = np.full(rest.shape, len(self.sizes) - 1)
        for number, share in enumerate(self._of_rest):
            left = source == len(self.sizes) - 1
            before = rest * share.numerator // share.denominator  # places of this source among those before
            own = left & ((rest + 1) * share.numerator // share.denominator > before)
            source[own] = number
            rest = np.where(own, before, np.where(left, rest - before, rest))
        return source, rest

    def __call__(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the epochs and the examples at `positions` (B,); each source has epochs of its own."""
        source, place = self.place(positions)
        epochs, examples = np.zeros_like(place), np.zeros_like(place)
        for number, size in enumerate(self.sizes):
            if (own := source == number).any():
                seed = hashing.start(self.seed, number)
                epochs[own], examples[own] = shuffling.stream(place[own], size, seed)
        return epochs, examples + self.firsts[source]
