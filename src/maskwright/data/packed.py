"""Plain text for masked language modelling: a corpus as batches of packed blocks."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from maskwright.core.errors import UserError
from maskwright.core.types import PositiveCount
from maskwright.corpora.splits import SPLITS
from maskwright.data import shuffling
from maskwright.data.batching import STEP
from maskwright.data.corpus import BlockSize, Corpus
from maskwright.data.loader import Batched, Collate, to_tensors
from maskwright.models.layers.varlen_attention import sequence_ends
from maskwright.text.packing import PackedBlocks

_AHEAD = 1024  # positions of the shuffled stream that are computed at once, or blocks that are read


class TextData(Corpus):
    """A corpus, packed into blocks, shuffled anew each epoch.

    The training batches are an endless stream: a batch may hold the end of one epoch and the start
    of the next, so that all have the same size and every token is seen once per epoch.

    Args:
        block_size: T, positions of a block, [CLS] and [SEP] included.
        batch_size: blocks of an optimizer step, over all devices.
        evaluation_batch_size: blocks of an evaluation batch, on each device.
        evaluation_limit: most blocks of validation and of test, spread evenly; None takes all.
        cross_document_attention: false adds `sequence_ends` to batches, see `models.layers.varlen_attention`.
        corpus: see `Corpus`.
    """

    def __init__(
        self,
        block_size: BlockSize,
        batch_size: PositiveCount,
        evaluation_batch_size: PositiveCount,
        evaluation_limit: PositiveCount | None,
        cross_document_attention: bool = True,
        **corpus: Any,
    ):
        super().__init__(**corpus)
        self.block_size, self.batch_size = block_size, batch_size
        self.evaluation_batch_size, self.evaluation_limit = evaluation_batch_size, evaluation_limit
        self.cross_document_attention = cross_document_attention

    def setup(self, stage: str | None = None) -> None:
        """Opens what `prepare_data` wrote.

        Raises:
            UserError: a split does not fill one block.
        """
        super().setup(stage)
        self.blocks = {
            split: PackedBlocks(self.tokens[split], self.tokenizer, self.block_size, self.annotated(split))
            for split in SPLITS
        }
        if len(self.tokens["train"].ids) < self.block_size - 2:
            raise UserError(
                f"The training split of {self.recipe} has "
                f"{self.tokens['train'].count} tokens, too few for one block of data.block_size={self.block_size}. "
                "Take more text or a smaller block."
            )

    def sample(self, number: int) -> dict[str, Tensor]:
        """Returns at most `number` blocks, spread over the training split, as a batch of the first epoch."""
        blocks = self.blocks["train"]
        number = min(number, len(blocks))
        return to_tensors(_InOrder(blocks).__getitems__(np.arange(number) * len(blocks) // number))

    def training_rows(self) -> Iterator[tuple[Tensor, Tensor]]:
        blocks = self.blocks["train"]
        for first in range(0, len(blocks), _AHEAD):
            read = to_tensors(blocks.read(np.arange(first, min(first + _AHEAD, len(blocks)))))
            yield read["input_ids"].masked_fill(read["documents"] < 0, -1), read["words"] >= 0

    def steps(self, epochs: float) -> int:
        return math.ceil(epochs * len(self.blocks["train"]) / self.batch_size)

    def size(self, split: str) -> str:
        return f"{len(self.blocks[split]):,} blocks"

    def train_dataloader(self) -> DataLoader:
        """Returns a loader of the endless stream of blocks, from the step that the trainer has reached."""
        step = self.trainer.global_step if self.trainer else 0
        batches = shuffling.EndlessBatches(step, self.batch_size, self.accumulate_grad_batches, self.rank)
        read: Batched = _Shuffled(self.blocks["train"], self.seed)
        if self.accumulate_grad_batches > 1:
            read = _WithStep(read, batches)
        return self.loader(read, batches, self._collate)

    def evaluation_loader(self, split: str) -> DataLoader:
        """Returns a loader of all blocks, or of evenly spaced ones up to the limit, once, in order."""
        rank, devices = self.rank
        blocks = len(self.blocks[split])
        number = min(blocks, self.evaluation_limit or blocks)
        self.check_devices(split, number)
        own = (np.arange(number) * blocks // number)[rank::devices]
        size = self.evaluation_batch_size
        batches = [own[i : i + size] for i in range(0, len(own), size)]
        return self.loader(_InOrder(self.blocks[split]), batches, self._collate)

    @property
    def _collate(self) -> Collate:
        return to_tensors if self.cross_document_attention else _with_ends


class _InOrder:
    """Reads blocks by their numbers, for evaluation: always those of the first epoch."""

    def __init__(self, blocks: PackedBlocks):
        self.blocks = blocks

    def __getitems__(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        return _batch(self.blocks, np.zeros_like(positions), positions)


class _Shuffled:
    """Reads blocks by their positions in the shuffled stream."""

    def __init__(self, blocks: PackedBlocks, seed: int):
        self.blocks, self.seed = blocks, seed
        self.first = self.end = 0  # the positions that are computed: a single batch would cost as much
        self.epochs = self.examples = np.zeros(0, np.int64)

    def __getitems__(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        if positions[0] < self.first or positions[-1] >= self.end:
            self.first, self.end = positions[0], max(positions[0] + _AHEAD, positions[-1] + 1)
            ahead = np.arange(self.first, self.end)
            self.epochs, self.examples = shuffling.stream(ahead, len(self.blocks), self.seed)
        known = positions - self.first
        return _batch(self.blocks, self.epochs[known], self.examples[known])


class _WithStep:
    """Reads micro-batches by their positions in the stream; the first of a step holds all rows of the step too.

    Args:
        batches: those of this device.
    """

    def __init__(self, read: Batched, batches: shuffling.EndlessBatches):
        self.read, self.batches = read, batches

    def __getitems__(self, positions: np.ndarray) -> dict[str, Any]:
        own = self.read.__getitems__(positions)
        step = self.batches.whole_step(positions)
        return own if step is None else {STEP: self.read.__getitems__(step), **own}


def _batch(blocks: PackedBlocks, epochs: np.ndarray, examples: np.ndarray) -> dict[str, np.ndarray]:
    return blocks.read(examples) | {"examples": examples, "epochs": epochs}


def _with_ends(batch: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return to_tensors(batch | {"sequence_ends": sequence_ends(batch["documents"])})
