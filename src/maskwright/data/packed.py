"""Plain text for masked language modelling: a corpus as packed batches."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from maskwright.core.errors import UserError
from maskwright.corpora.documents import SPLITS
from maskwright.data import shuffling
from maskwright.data.corpus import Corpus, to_tensors
from maskwright.models.layers.varlen_attention import sequence_ends
from maskwright.text.packing import PackedBlocks

_AHEAD = 1024  # positions of the shuffled stream that are computed together


class TextData(Corpus):
    """A corpus, packed into blocks, shuffled anew each epoch.

    The training batches are an endless stream: a batch may hold the end of one epoch and the start
    of the next, so that each has the same size and every token is seen once an epoch.

    Args:
        block_size: T, positions of a block, [CLS] and [SEP] included.
        batch_size: blocks of an optimizer step, over all devices.
        evaluation_batch_size: blocks of an evaluation batch, on each device.
        evaluation_limit: most blocks of validation and of test, spread evenly; None takes all.
        cross_document_attention: false adds `sequence_ends` to batches, see `models.documents.Sequences`.
        corpus: see `Corpus`.
    """

    def __init__(
        self,
        block_size: int,
        batch_size: int,
        evaluation_batch_size: int,
        evaluation_limit: int | None,
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
        """At most `number` blocks, spread over the training split, as a batch of the first epoch."""
        blocks = self.blocks["train"]
        number = min(number, len(blocks))
        return to_tensors(_InOrder(blocks).__getitems__(np.arange(number) * len(blocks) // number))

    def steps(self, epochs: float) -> int:
        return math.ceil(epochs * len(self.blocks["train"]) / self.batch_size)

    @property
    def baseline(self) -> float:
        return self.tokens["train"].unigram_entropy

    def size(self, split: str) -> str:
        return f"{len(self.blocks[split]):,} blocks"

    def train_dataloader(self) -> DataLoader:
        """The endless stream, from the step that the trainer has reached."""
        step = self.trainer.global_step if self.trainer else 0
        batches = shuffling.EndlessBatches(step, self.batch_size, self.accumulate, *self.place)
        return self._loader(_Shuffled(self.blocks["train"], self.seed), batches)

    def evaluation_loader(self, split: str) -> DataLoader:
        """Each block, or evenly spaced ones up to the limit, once, in order, spread over the devices."""
        rank, devices = self.place
        blocks = len(self.blocks[split])
        number = min(blocks, self.evaluation_limit or blocks)
        self.check_devices(split, number)
        mine = (np.arange(number) * blocks // number)[rank::devices]
        size = self.evaluation_batch_size
        return self._loader(_InOrder(self.blocks[split]), [mine[i : i + size] for i in range(0, len(mine), size)])

    def _loader(self, read: "_InOrder | _Shuffled", batches: Iterable[np.ndarray]) -> DataLoader:
        return self.loader(read, batches, to_tensors if self.cross_document_attention else _with_ends)


class _InOrder:
    """Blocks by their number, as in evaluation: always the first epoch."""

    def __init__(self, blocks: PackedBlocks):
        self.blocks = blocks

    def __getitems__(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        return _batch(self.blocks, np.zeros_like(positions), positions)


class _Shuffled:
    """Blocks by their position in the shuffled stream."""

    def __init__(self, blocks: PackedBlocks, seed: int):
        self.blocks, self.seed = blocks, seed
        self.first = self.behind = 0  # what is known of the stream: a call for a batch alone costs as much
        self.epochs = self.examples = np.zeros(0, np.int64)

    def __getitems__(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        if positions[0] < self.first or positions[-1] >= self.behind:
            self.first, self.behind = positions[0], max(positions[0] + _AHEAD, positions[-1] + 1)
            ahead = np.arange(self.first, self.behind)
            self.epochs, self.examples = shuffling.stream(ahead, len(self.blocks), self.seed)
        known = positions - self.first
        return _batch(self.blocks, self.epochs[known], self.examples[known])


def _batch(blocks: PackedBlocks, epochs: np.ndarray, examples: np.ndarray) -> dict[str, np.ndarray]:
    batch = blocks.read(examples) | {"examples": examples, "epochs": epochs}
    real = batch["documents"] >= 0
    return batch if real.all() else batch | {"attention_mask": real}


def _with_ends(batch: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return to_tensors(batch | {"sequence_ends": sequence_ends(batch["documents"])})
