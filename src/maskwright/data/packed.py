"""Plain text for masked language modelling: a corpus as batches of packed blocks."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from maskwright.core.errors import UserError
from maskwright.core.types import PositiveCount
from maskwright.corpora.recipe import REPLAY, key_of
from maskwright.corpora.splits import SPLITS
from maskwright.data import shuffling
from maskwright.data.batching import STEP
from maskwright.data.corpus import BlockSize, Corpus
from maskwright.data.loader import Batched, Collate, ids_in_parts, spread, to_tensors
from maskwright.data.mixing import Mixture
from maskwright.models.layers.varlen_attention import sequence_ends
from maskwright.text.packing import PackedBlocks

# the epochs and the examples at positions of a stream
Order = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

_AHEAD = 1024  # positions of the shuffled stream that are computed at once


class TextData(Corpus):
    """A corpus, packed into blocks, shuffled anew each epoch.

    The training batches are an endless stream: a batch may hold the end of one epoch and the start
    of the next, so that all have the same size and every token is seen once per epoch. With several sources that
    have weights or a temperature, or with replayed text, each source is such a stream, see `Mixture`.

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
        mixed = not self.recipe.proportions.are_sizes
        self.blocks = {
            split: PackedBlocks(
                self.tokens[split],
                self.tokenizer,
                self.block_size,
                self.annotated(split),
                self.runs(split) if split != "train" or mixed else None,
            )
            for split in SPLITS
        }
        self.shares: dict[str, float] = {}
        if mixed:
            sizes = dict(zip(self.source_names, self.blocks["train"].sizes, strict=True))
            if empty := [name for name, size in sizes.items() if not size]:
                raise UserError(
                    f"{key_of(empty[0])} has no documents to train on, so it cannot have a share of them."
                )
            self.shares = self.recipe.proportions.shares(sizes)
        if len(self.tokens["train"].ids) < self.block_size - 2:
            raise UserError(
                f"The training split of {self.recipe} has "
                f"{self.tokens['train'].count} tokens, too few for one block of data.block_size={self.block_size}. "
                "Take more text or a smaller block."
            )

    def sample(self, number: int) -> dict[str, Tensor]:
        """Returns at most `number` blocks, spread over the training split, as a batch of the first epoch."""
        blocks = self.blocks["train"]
        return to_tensors(_InOrder(blocks).__getitems__(spread(number, len(blocks))))

    def training_rows(self, most: float = math.inf) -> Iterator[tuple[Tensor, Tensor]]:
        blocks = self.blocks["train"]
        return ids_in_parts(blocks.read, spread(max(most / self.block_size, 1), len(blocks)))

    def steps(self, epochs: float) -> int:
        """See `Corpus`. Text that is replayed comes on top: an epoch shows as many other blocks as there are."""
        blocks = len(self.blocks["train"])
        if (replayed := self.shares.get(REPLAY)) is not None:
            blocks = (blocks - self.blocks["train"].sizes[-1]) / (1 - replayed)
        return math.ceil(epochs * blocks / self.batch_size)

    def remarks(self) -> list[str]:
        said = []
        blocks = self.blocks["train"]
        for name, size in zip(self.source_names, blocks.sizes, strict=False) if self.shares else ():
            said.append(f"{self.shares[name]:.1%} of the training is {name or 'data.source'}, {size:,} blocks")
        return [*super().remarks(), *said]

    def size(self, split: str) -> str:
        return f"{len(self.blocks[split]):,} blocks"

    def train_dataloader(self) -> DataLoader:
        """Returns a loader of the endless stream of blocks, from the step that the trainer has reached."""
        step = self.trainer.global_step if self.trainer else 0
        batches = shuffling.EndlessBatches(step, self.batch_size, self.accumulate_grad_batches, self.rank)
        read: Batched = _Shuffled(self.blocks["train"], self._order)
        if self.accumulate_grad_batches > 1:
            read = _WithStep(read, batches)
        return self.loader(read, batches, self._collate)

    @property
    def _order(self) -> Order:
        blocks = self.blocks["train"]
        if self.shares:
            return Mixture(blocks.sizes, [*self.shares.values()], self.seed)
        return partial(shuffling.stream, size=len(blocks), seed=self.seed)

    def evaluation_loader(self, split: str) -> DataLoader:
        """Returns a loader of all blocks, or of evenly spaced ones up to the limit, once, in order.

        A batch is of one source. The limit is that of all sources but the replayed one, which has it for itself.
        """
        rank, devices = self.rank
        blocks, names = self.blocks[split], self.source_names
        ends = np.cumsum(blocks.sizes)
        held = (
            int(ends[names.index(REPLAY) - 1]) if REPLAY in names else len(blocks)
        )  # blocks that are not replayed
        chosen = [_spread(0, held, self.evaluation_limit), _spread(held, len(blocks), self.evaluation_limit)]
        self.check_devices(split, sum(map(len, chosen)))
        own = [part[rank::devices] for part in chosen]
        size = self.evaluation_batch_size
        of_source = [part[np.searchsorted(ends, part, side="right") == n] for n in range(len(ends)) for part in own]
        batches = [part[i : i + size] for part in of_source for i in range(0, len(part), size)]
        return self.loader(_InOrder(blocks, ends if len(names) > 1 else None, held), batches, self._collate)

    def evaluated_sources(self, split: str) -> list[str]:
        sizes = self.blocks[split].sizes
        named = [name for name, size in zip(self.source_names, sizes, strict=True) if name and size]
        return named if len(self.source_names) > 1 else []

    @property
    def _collate(self) -> Collate:
        return to_tensors if self.cross_document_attention else _with_ends


def _spread(first: int, last: int, limit: int | None) -> np.ndarray:
    """Returns the numbers from `first` up to `last`, or `limit` of them, evenly spaced."""
    number = min(last - first, limit or last - first)
    return first + np.arange(number) * (last - first) // max(number, 1)


class _InOrder:
    """Reads blocks by their numbers, for evaluation: always those of the first epoch.

    Args:
        ends: the blocks of each source end before these numbers; batches then hold the number of the `source` of
            each row (B,).
        held: how many blocks are not replayed.
    """

    def __init__(self, blocks: PackedBlocks, ends: np.ndarray | None = None, held: int = 0):
        self.blocks, self.ends, self.held = blocks, ends, held

    def __getitems__(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        batch = _batch(self.blocks, np.zeros_like(positions), positions)
        if self.ends is None:
            return batch
        # replayed blocks are numbered by themselves, so that they have the same masks beside any other text
        batch["examples"] = np.where(positions < self.held, positions, positions - self.held)
        return batch | {"source": np.searchsorted(self.ends, positions, "right")}


class _Shuffled:
    """Reads blocks by their positions in the stream of an order."""

    def __init__(self, blocks: PackedBlocks, order: Order):
        self.blocks, self.order = blocks, order
        self.first = self.end = 0  # the positions that are computed: a single batch would cost as much
        self.epochs = self.examples = np.zeros(0, np.int64)

    def __getitems__(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        if positions[0] < self.first or positions[-1] >= self.end:
            self.first, self.end = positions[0], max(positions[0] + _AHEAD, positions[-1] + 1)
            ahead = np.arange(self.first, self.end)
            self.epochs, self.examples = self.order(ahead)
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
