"""Plain text for masked language modelling: from `data.source` to packed batches."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from maskwright.data import order
from maskwright.data.documents import SPLITS, Documents, open_documents, open_tagged, open_texts, pieces
from maskwright.data.source import Source
from maskwright.errors import UserError
from maskwright.models.documents import sequence_ends
from maskwright.progress import bar
from maskwright.text.annotations import (
    Annotation,
    Piece,
    Spans,
    identity,
    piece_of_texts,
    read_annotation,
    stored,
    write_annotation,
)
from maskwright.text.cache import fingerprint, write_once
from maskwright.text.packing import PackedBlocks, rows_of_piece
from maskwright.text.parallel import cores
from maskwright.text.tokenizer import Pretrained, Tokenizer, Trained
from maskwright.text.tokens import Tokens, write_tokens

if TYPE_CHECKING:
    from datasets import DatasetDict

_FORMAT = 2  # to be raised when the same settings no longer give the same tokens
_AHEAD = 1024  # positions of the shuffled stream that are computed together


class TextData(LightningDataModule):
    """Documents of any source, tokenized once, packed into blocks, shuffled anew each epoch.

    The training batches are an endless stream: a batch may hold the end of one epoch and the start
    of the next, so that each has the same size and every token is seen once an epoch.

    Args:
        source, config, column, document: see `Source`.
        cleaning, splits, limit: see `Documents`.
        tokenizer: how to get the tokenizer.
        block_size: T, positions of a block, [CLS] and [SEP] included.
        batch_size: blocks of an optimizer step, over all devices.
        evaluation_batch_size: blocks of an evaluation batch, on each device.
        evaluation_limit: most blocks of validation and of test, spread evenly; None takes all.
        id_type: type of the ids on disk; `auto` takes the smallest that holds the vocabulary.
        cache_dir: folder for prepared corpora.
        seed: of the order of the blocks.
        accumulate: micro-batches that each device cuts its part of a step into.
        workers: processes that load batches; 0 loads in the training process.
        preparation_workers: processes that prepare the corpus; None takes one per core.
        tags: see `Source`.
        annotations: what masks know about tokens beyond their ids; comes with each batch by its name.
        cross_document_attention: false adds `sequence_ends` to batches, see `models.documents.Sequences`.
    Raises:
        UserError: the settings do not fit together.
    """

    def __init__(
        self,
        source: str,
        config: str | None,
        column: str,
        document: Literal["row", "paragraph", "file", "article"],
        cleaning: list[str],
        splits: dict[str, str | float],
        limit: int | None,
        tokenizer: Trained | Pretrained,
        block_size: int,
        batch_size: int,
        evaluation_batch_size: int,
        evaluation_limit: int | None,
        id_type: Literal["auto", "uint16", "uint32"],
        cache_dir: str,
        seed: int,
        accumulate: int = 1,
        workers: int = 0,
        preparation_workers: int | None = None,
        tags: str | None = None,
        annotations: Sequence[Annotation] = (),
        cross_document_attention: bool = True,
    ):
        super().__init__()
        where = Source(source, config, column, document, tags)
        self.recipe = Documents(where, tuple(cleaning), dict(splits), limit)
        self.choice = tokenizer
        self.block_size, self.batch_size = block_size, batch_size
        self.evaluation_batch_size, self.evaluation_limit = evaluation_batch_size, evaluation_limit
        self.id_type, self.seed = id_type, seed
        self.cache = Path(cache_dir).expanduser()
        self.accumulate, self.workers = accumulate, workers
        self.preparation_workers = preparation_workers or cores()
        self.annotations = {annotation.name: annotation for annotation in annotations}
        if tags is None and any(getattr(annotation, "needs_tags", False) for annotation in annotations):
            raise UserError(
                "mask.units.source=tags, but the corpus has no tags. Name their column in data.tags, or take "
                "mask.units.source=rule."
            )
        self.cross_document_attention = cross_document_attention
        self.annotation_folders: dict[str, Path] = {}
        self.seconds: dict[str, float] = {}
        self._folder: Path | None = None

    def prepare_data(self) -> None:
        """Writes documents, tokenizer and tokens into the cache, unless they are there."""
        if self._folder is not None:
            return
        with self._timed("documents"):
            documents = self.recipe.prepare(self.cache, self.preparation_workers)
        self.documents_folder = documents
        with self._timed("tokenizer"):
            self.tokenizer_folder = self._prepare_tokenizer(documents)
        self.tokenizer = Tokenizer.load(self.tokenizer_folder)
        if self.id_type == "uint16" and len(self.tokenizer) > 2**16:
            raise UserError(
                f"data.id_type=uint16 cannot hold the {len(self.tokenizer):,} tokens of the tokenizer "
                f"({self.choice}). Set data.id_type=auto or uint32."
            )
        with self._timed("tokens"):
            folder = self._prepare_tokens(documents)
        for name, annotation in self.annotations.items():
            with self._timed(name):
                self.annotation_folders[name] = self._prepare_annotation(annotation, folder)
        self._folder = folder

    def setup(self, stage: str | None = None) -> None:
        """Opens what `prepare_data` wrote.

        Raises:
            UserError: a split does not fill one block.
        """
        self.prepare_data()
        assert self._folder is not None
        self.tokens = {split: Tokens.open(self._folder / split) for split in SPLITS}
        self.blocks = {
            split: PackedBlocks(tokens, self.tokenizer, self.block_size, self._annotated(split))
            for split, tokens in self.tokens.items()
        }
        if len(self.tokens["train"].ids) < self.block_size - 2:
            raise UserError(
                f"The training split of data.source='{self.recipe.source.source}' has "
                f"{self.tokens['train'].count} tokens, too few for one block of data.block_size={self.block_size}. "
                "Take more text or a smaller block."
            )

    @property
    def documents(self) -> "DatasetDict":
        """The cleaned documents, memory-mapped, with the column `text`."""
        return open_documents(self.documents_folder)

    def _prepare_tokenizer(self, documents: Path) -> Path:
        settings: list[Any] = [_FORMAT, asdict(self.choice)]
        settings.append(documents.name if isinstance(self.choice, Trained) else self.choice.digest())

        def write(folder: Path) -> None:
            texts, runs = open_texts(documents)["train"], pieces(documents)["train"]
            with bar(f"Tokenizer: {self.choice}", self.choice.passes * runs[-1][1]) as progress:
                self.choice.make(lambda: _batches(texts, runs, progress.advance)).save(folder)

        return write_once(self.cache / f"tokenizer-{fingerprint(settings)}", write)

    def _prepare_tokens(self, documents: Path) -> Path:
        # what the tokenizer is, not how it came about: training one again may give another
        tokenizer = (self.tokenizer_folder / "tokenizer.json").read_text()
        settings = [_FORMAT, documents.name, tokenizer, self.id_type]

        def write(folder: Path) -> None:
            runs = pieces(documents)
            began, written = time.monotonic(), 0
            with bar("Tokenizing documents", sum(split[-1][1] for split in runs.values())) as progress:

                def advance(finished: int, tokens: int) -> None:
                    nonlocal written
                    written += tokens
                    rate = written / (time.monotonic() - began)
                    progress.advance(finished, f"{written:,} tokens, {rate:,.0f} tokens/s")

                texts = partial(open_texts, documents)
                workers = self.preparation_workers
                write_tokens(folder, texts, runs, self.tokenizer_folder, workers, advance, self.id_type)

        return write_once(self.cache / f"tokens-{fingerprint(settings)}", write)

    def _prepare_annotation(self, annotation: Annotation, tokens: Path) -> Path:
        settings = [identity(annotation), tokens.name, annotation.settings()]

        def write(folder: Path) -> None:
            documents = sum(Tokens.open(tokens / split).documents for split in SPLITS)
            with bar(f"Annotating tokens: {annotation.name}", documents) as progress:
                write_annotation(
                    folder,
                    annotation,
                    tokens,
                    SPLITS,
                    self.tokenizer_folder,
                    partial(open_tagged, self.documents_folder),
                    self.preparation_workers,
                    progress.advance,
                )

        return write_once(self.cache / f"{annotation.name}-{fingerprint(settings)}", write)

    def _annotated(self, split: str) -> dict[str, np.ndarray]:
        return {
            name: read_annotation(self.annotation_folders[name], annotation, split)
            for name, annotation in self.annotations.items()
        }

    def sample(self, number: int) -> dict[str, Tensor]:
        """At most `number` blocks, spread over the training split, as a batch of the first epoch."""
        blocks = self.blocks["train"]
        number = min(number, len(blocks))
        return _to_tensors(_InOrder(blocks).__getitems__(np.arange(number) * len(blocks) // number))

    def encode(
        self, texts: Sequence[str], tags: Sequence[Spans | None] | None = None
    ) -> tuple[dict[str, Tensor], Piece]:
        """Texts as a batch that masks take, one row each, and the piece that tells where its tokens stand.

        Rows are as long as the longest, [CLS] and [SEP] included; `attention_mask` says where the others end.

        Args:
            tags: of each text the spans that its corpus tags.
        """
        piece = piece_of_texts(list(texts), self.tokenizer, None if tags is None else list(tags))
        numbers = {
            name: stored(annotation.open(self.annotation_folders[name], self.tokenizer)(piece), annotation)
            for name, annotation in self.annotations.items()
        }
        rows = rows_of_piece(piece, numbers, self.tokenizer)
        order = np.arange(len(texts))
        return _to_tensors(rows | {"examples": order, "epochs": np.zeros_like(order)}), piece

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[stage] = time.monotonic() - began

    def train_dataloader(self) -> DataLoader:
        """The endless stream, from the step that the trainer has reached."""
        trainer = self.trainer
        step, rank, devices = (
            (trainer.global_step, trainer.global_rank, trainer.world_size) if trainer else (0, 0, 1)
        )
        batches = order.EndlessBatches(step, self.batch_size, self.accumulate, rank, devices)
        return self._loader(_Shuffled(self.blocks["train"], self.seed), batches)

    def val_dataloader(self) -> DataLoader:
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader:
        return self._evaluation_loader("test")

    def _evaluation_loader(self, split: str) -> DataLoader:
        """Each block, or evenly spaced ones up to the limit, once, in order, spread over the devices."""
        rank, devices = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        blocks = len(self.blocks[split])
        number = min(blocks, self.evaluation_limit or blocks)
        mine = (np.arange(number) * blocks // number)[rank::devices]
        size = self.evaluation_batch_size
        return self._loader(_InOrder(self.blocks[split]), [mine[i : i + size] for i in range(0, len(mine), size)])

    def _loader(self, dataset: "_InOrder | _Shuffled", batches: Iterable[np.ndarray]) -> DataLoader:
        return TimedLoader(
            dataset,  # type: ignore[arg-type]
            batch_sampler=batches,  # type: ignore[arg-type]
            collate_fn=_to_tensors if self.cross_document_attention else _with_ends,  # type: ignore[arg-type]
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            worker_init_fn=_leave_signals_to_the_parent,
        )


class TimedLoader(DataLoader):
    """A loader that counts the seconds in which it was waited for."""

    waited = 0.0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        batches = super().__iter__()
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - began
            if batch is None:
                return
            yield batch


def _leave_signals_to_the_parent(worker: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


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
            self.epochs, self.examples = order.stream(ahead, len(self.blocks), self.seed)
        known = positions - self.first
        return _batch(self.blocks, self.epochs[known], self.examples[known])


def _batch(blocks: PackedBlocks, epochs: np.ndarray, examples: np.ndarray) -> dict[str, np.ndarray]:
    batch = blocks.read(examples) | {"examples": examples, "epochs": epochs}
    real = batch["documents"] >= 0
    return batch if real.all() else batch | {"attention_mask": real}


def _to_tensors(batch: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def _with_ends(batch: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return _to_tensors(batch | {"sequence_ends": sequence_ends(batch["documents"])})


def _batches(
    texts: Callable[[int, int], list[str]], runs: list[tuple[int, int]], advance: Callable[[int], None]
) -> Iterator[list[str]]:
    for first, last in runs:
        yield texts(first, last)
        advance(last - first)
