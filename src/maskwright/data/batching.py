"""Batches of rows of similar lengths, in an order that can be computed from any step on."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from maskwright.core import hashing
from maskwright.core.distributed import Rank
from maskwright.data import shuffling
from maskwright.data.rows import Rows

STEP = "step"  # the name under which the first micro-batch of a step holds all rows of the step on its device

_POOL = 50  # batches whose rows are sorted together


def cut_by_budget(rows: np.ndarray, lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """Returns rows, in falling order of length, cut into batches of at most `budget` positions, padding included.

    Args:
        lengths: (R,) positions of all rows, by their numbers.
    """
    batches, first = [], 0
    while first < len(rows):
        end = first + max(budget // int(lengths[rows[first]]), 1)
        batches.append(rows[first:end])
        first = end
    return batches


class Plan:
    """The batches of each epoch: rows are shuffled, sorted by length within pools, cut, and the batches shuffled.

    Args:
        lengths: (R,) positions of each row.
        budget: positions of a batch.
        seed: of the order.
    """

    def __init__(self, lengths: np.ndarray, budget: int, seed: int):
        self.lengths, self.budget, self.seed = lengths, budget, seed
        self.batches = lru_cache(maxsize=2)(self._batches)

    def _batches(self, epoch: int) -> list[np.ndarray]:
        """Returns the batches of an epoch in their order: arrays of row numbers."""
        rows = self._shuffled(len(self.lengths), epoch, 0)
        pool = max(int(_POOL * self.budget / self.lengths.mean()), 1)
        batches = []
        for first in range(0, len(rows), pool):
            own = rows[first : first + pool]
            by_length = own[np.argsort(-self.lengths[own], kind="stable")]
            batches += cut_by_budget(by_length, self.lengths, self.budget)
        return [batches[i] for i in self._shuffled(len(batches), epoch, 1)]

    def _shuffled(self, number: int, epoch: int, purpose: int) -> np.ndarray:
        start = np.full(number, hashing.start(self.seed, 0x67726F7570, epoch, purpose))  # "group"
        return shuffling.permute(np.arange(number), number, start)


class MicroBatch(NamedTuple):
    """Rows that are read together.

    Attributes:
        rows: (B,) their numbers.
        epoch: in which they are read.
        weight: 0 if they fill in for rows that a step does not have.
        step: the rows of all micro-batches of the step on this device, for the first of them; else None.
    """

    rows: np.ndarray
    epoch: int = 0
    weight: float = 1.0
    step: np.ndarray | None = None


class EndlessMicroBatches:
    """The micro-batches of one device, from a given step on, without end.

    Every device and micro-batch gets at least a row: where a batch has too few, its first row fills in, with a
    weight of 0.

    Args:
        step: the optimizer step to start at.
        accumulate_grad_batches: micro-batches that a device cuts its share of a step into.
        rank: which share is this device's.
    """

    def __init__(self, plan: Plan, step: int, accumulate_grad_batches: int, rank: Rank):
        self.plan, self.step = plan, step
        self.accumulate_grad_batches, self.rank = accumulate_grad_batches, rank

    def __iter__(self) -> Iterator[MicroBatch]:
        epoch, skipped = 0, self.step
        while skipped >= (number := len(self.plan.batches(epoch))):
            epoch, skipped = epoch + 1, skipped - number
        devices = self.rank.world_size
        micro_batches = self.accumulate_grad_batches * devices  # of a step, on all devices
        while True:
            for batch in self.plan.batches(epoch)[skipped:]:
                for micro in range(self.accumulate_grad_batches):
                    own = batch[micro * devices + self.rank.number :: micro_batches]
                    several = micro == 0 and self.accumulate_grad_batches > 1
                    step = batch[self.rank.number :: devices] if several else None
                    yield MicroBatch(own if len(own) else batch[:1], epoch, float(len(own) > 0), step)
            epoch, skipped = epoch + 1, 0


class RowReader:
    """Reads micro-batches of rows, with their `weight`, (1,), and the whole step in the first of them.

    Args:
        gold: whether to read what only an evaluation needs too.
    """

    def __init__(self, rows: Rows, gold: bool = False):
        self.rows, self.gold = rows, gold

    def __getitems__(self, batch: MicroBatch) -> dict[str, Any]:
        found: dict[str, Any] = self.rows.read(batch.rows, np.full_like(batch.rows, batch.epoch))
        found["weight"] = np.array([batch.weight], np.float32)
        if batch.step is not None:  # no rows of the step, no weight
            step = batch.step if len(batch.step) else batch.rows
            weight = np.array([float(len(batch.step) > 0)], np.float32)
            found[STEP] = self.rows.read(step, np.full_like(step, batch.epoch)) | {"weight": weight}
        return found | self.rows.read_gold(batch.rows) if self.gold else found
