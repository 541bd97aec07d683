"""The base class of data modules whose examples are rows of different lengths."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from maskwright.core.errors import UserError
from maskwright.core.types import PositiveCount
from maskwright.data.batching import EndlessMicroBatches, MicroBatch, Plan, RowReader, cut_by_budget
from maskwright.data.corpus import BlockSize, Corpus
from maskwright.data.loader import ids_in_parts, spread, to_tensors
from maskwright.data.rows import Rows


class RowData(Corpus):
    """A corpus as batches of rows of similar length, between [CLS] and [SEP], padded to the longest of its batch.

    The rows of an epoch are shuffled, then sorted by length within pools of some batches, cut where a batch is
    full, and the batches shuffled: all a function of the seed and the epoch, so that a run resumes anywhere.

    Args:
        block_size: T, the most positions of a row, [CLS] and [SEP] included.
        tokens_per_batch: positions of an optimizer step, padding included, over all devices; a row that is
            longer is a batch by itself.
        evaluation_tokens_per_batch: the same of an evaluation batch, on each device.
        corpus: see `Corpus`.
    Attributes:
        rows: by split, after `setup`; there are none of a test split without labels.
    """

    rows: dict[str, Rows]

    def __init__(
        self,
        block_size: BlockSize,
        tokens_per_batch: PositiveCount,
        evaluation_tokens_per_batch: PositiveCount,
        **corpus: Any,
    ):
        super().__init__(**corpus)
        self.block_size, self.tokens_per_batch = block_size, tokens_per_batch
        self.evaluation_tokens_per_batch = evaluation_tokens_per_batch

    def sample(self, number: int) -> dict[str, Tensor]:
        rows = self.rows["train"]
        chosen = spread(number, len(rows))
        return to_tensors(rows.read(chosen, np.zeros_like(chosen)))

    def training_rows(self, most: float = math.inf) -> Iterator[tuple[Tensor, Tensor]]:
        rows = self.rows["train"]
        chosen = spread(max(most / rows.lengths.mean(), 1), len(rows))
        return ids_in_parts(lambda part: rows.read(part, np.zeros_like(part)), chosen)

    def steps(self, epochs: float) -> int:
        whole, part = int(epochs), epochs % 1
        plan = self._plan()
        return sum(len(plan.batches(epoch)) for epoch in range(whole)) + math.ceil(part * len(plan.batches(whole)))

    def _plan(self) -> Plan:
        return Plan(self.rows["train"].lengths, self.tokens_per_batch, self.seed)

    def train_dataloader(self) -> DataLoader:
        """Returns a loader of the endless stream of batches, from the step that the trainer has reached."""
        rows = self.rows["train"]
        step = self.trainer.global_step if self.trainer else 0
        accumulate, rank = self.accumulate_grad_batches, self.rank
        return self.loader(RowReader(rows), EndlessMicroBatches(self._plan(), step, accumulate, rank))

    def evaluation_loader(self, split: str) -> DataLoader:
        """Returns a loader of each row once, long ones first, spread over the devices."""
        if split in self.unlabelled:
            raise UserError(
                f"None of the texts of the {split} split has a label (data.label, data.tags, data.answers), so "
                "there is nothing to compare predictions with. Evaluate split=validation, or other data."
            )
        rows, rank = self.rows[split], self.rank
        self.check_devices(split, len(rows))
        own = np.argsort(-rows.lengths, kind="stable")[rank.number :: rank.world_size]
        batches = cut_by_budget(own, rows.lengths, self.evaluation_tokens_per_batch)
        return self.loader(RowReader(rows, gold=True), [MicroBatch(batch) for batch in batches])
