"""The order of examples: an endless stream that can be read from any position.

Position p of the stream is example permutation(p mod N) of epoch p div N. Nothing is stored, so the
stream starts anywhere (exact resuming), is shared by any number of devices, and costs no memory.
"""

from collections.abc import Iterator

import numpy as np

from maskwright.core import hashing
from maskwright.core.distributed import Rank

_ROUNDS = 8  # with 4 the permutations of a dozen examples are visibly uneven


def permute(index: np.ndarray, size: int, key: np.ndarray) -> np.ndarray:
    """Returns where each `index` in [0, size) goes under the permutation that its `key` chooses.

    A Feistel network (Luby and Rackoff, 1988) over the smallest square power of two that holds
    `size`, walked along its cycles until it is back inside (Black and Rogaway, 2002).

    Args:
        index, key: int64 arrays of one shape.
    """
    bits = max((size - 1).bit_length() + 1, 2) // 2
    half = (1 << bits) - 1
    out = np.array(index, dtype=np.int64)
    outside = np.ones(out.shape, dtype=bool)
    while outside.any():
        left, right, keys = out[outside] >> bits, out[outside] & half, key[outside]
        for number in range(_ROUNDS):
            left, right = right, left ^ (hashing.fold(keys, right * _ROUNDS + number) & half)
        out[outside] = (left << bits) | right
        outside = out >= size
    return out


def stream(positions: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the epochs and the examples at `positions` (B,) of the shuffled stream over `size` examples."""
    epochs, index = np.divmod(np.asarray(positions, dtype=np.int64), size)
    start = np.full_like(epochs, hashing.start(seed, 0x6F72646572))  # "order"
    return epochs, permute(index, size, hashing.fold(start, epochs))


class EndlessBatches:
    """The stream positions of the micro-batches of one device, from a given step on, without end.

    Args:
        step: the optimizer step to start at.
        batch_size: positions of a step, over all devices; a multiple of the devices times
            `accumulate_grad_batches`.
        accumulate_grad_batches: micro-batches that a device cuts its share of a step into.
        rank: which share is this device's.
    """

    def __init__(self, step: int, batch_size: int, accumulate_grad_batches: int, rank: Rank):
        self.step, self.batch_size, self.rank = step, batch_size, rank
        self.accumulate_grad_batches = accumulate_grad_batches

    def __iter__(self) -> Iterator[np.ndarray]:
        number, devices = self.rank
        size = self.batch_size // (self.accumulate_grad_batches * devices)
        first = self.step * self.batch_size + number * size
        while True:
            yield np.arange(first, first + size)
            first += size * devices

    def whole_step(self, positions: np.ndarray) -> np.ndarray | None:
        """Returns the positions of all micro-batches of a step on this device, if these are those of its first."""
        apart = len(positions) * self.rank.world_size  # from one micro-batch to the next
        if positions[0] % self.batch_size >= apart:
            return None
        return (positions + apart * np.arange(self.accumulate_grad_batches)[:, None]).ravel()
