"""A corpus on disk: from `data.source` to cleaned documents, tokens, and what is known about each token."""

import inspect
import json
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

from maskwright.annotations.annotation import (
    Annotation,
    Piece,
    identity,
    piece_of_texts,
    read_annotation,
    stored,
    write_annotation,
)
from maskwright.core.atomic import fingerprint, write_once
from maskwright.core.errors import UserError, nearest
from maskwright.core.parallel import cores
from maskwright.core.terminal import bar
from maskwright.corpora.documents import (
    SPLITS,
    Documents,
    Recipe,
    documents_of,
    open_documents,
    open_marked,
    open_texts,
    pieces,
)
from maskwright.corpora.marks import Marks
from maskwright.text.packing import rows_of_piece
from maskwright.text.tokenizer import Pretrained, Tokenizer, Trained
from maskwright.text.tokens import Tokens, write_tokens

if TYPE_CHECKING:
    from datasets import DatasetDict

_FORMAT = 2  # to be raised when the same settings no longer give the same tokens


class Corpus(LightningDataModule):
    """Documents of any source, cleaned, split and tokenized once, into a cache.

    What becomes a batch is for the classes below this one to say.

    Args:
        tokenizer: how to get the tokenizer.
        id_type: type of the ids on disk; `auto` takes the smallest that holds the vocabulary.
        cache_dir: folder for prepared corpora.
        seed: of the order of the examples.
        accumulate: micro-batches that each device cuts its part of a step into.
        workers: processes that load batches; 0 loads in the training process.
        preparation_workers: processes that prepare the corpus; None takes one per core.
        annotations: what is to be known about tokens beyond their ids; comes with each batch by its name.
        parts: several sources, by their names, each with settings as follow; then, but for `labels`, which is that
            of all, none of these stands beside it.
        source, config, column, document, tags, label, labels: see `Source`.
        cleaning, splits, limit, published: see `Documents`.
    Raises:
        UserError: the settings do not fit together.
    Attributes:
        tokenizer, tokens: what was made; `tokens` by split.
        seconds: of each stage of the preparation.
        notes: of each part, counts of what was found in its documents, see `Documents`.
    """

    def __init__(
        self,
        tokenizer: Trained | Pretrained,
        id_type: Literal["auto", "uint16", "uint32"],
        cache_dir: str,
        seed: int,
        accumulate: int = 1,
        workers: int = 0,
        preparation_workers: int | None = None,
        annotations: Sequence[Annotation] = (),
        parts: dict[str, dict[str, Any]] | None = None,
        source: str | None = None,
        config: str | None = None,
        column: str = "text",
        document: Literal["row", "paragraph", "file", "article"] = "row",
        cleaning: list[str] | None = None,
        splits: dict[str, str | float] | None = None,
        limit: int | None = None,
        tags: str | None = None,
        label: str | None = None,
        labels: list[str] | None = None,
        published: dict[str, dict[str, int]] | None = None,
    ):
        super().__init__()
        own = (config, column, document, cleaning, splits, limit, tags, label, labels, published)
        if (source is None) == (parts is None):
            raise UserError("A corpus has either data.source or data.parts.")
        if source is not None:
            self.recipe = Recipe({"": documents_of(source, *own)})
        else:
            given = {} if labels is None else {"labels": labels}
            self.recipe = Recipe({name: _part(name, part | given) for name, part in (parts or {}).items()})
        self.choice = tokenizer
        self.id_type, self.seed = id_type, seed
        self.cache = Path(cache_dir).expanduser()
        self.accumulate, self.workers = accumulate, workers
        self.preparation_workers = preparation_workers or cores()
        self.annotations = {annotation.name: annotation for annotation in annotations}
        if not self.tagged and any(getattr(annotation, "needs_tags", False) for annotation in annotations):
            raise UserError(
                "mask.units.source=tags, but the corpus has no tags. Name their column in data.tags, or take "
                "mask.units.source=rule."
            )
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
        """Opens what `prepare_data` wrote."""
        self.prepare_data()
        assert self._folder is not None
        self.tokens = {split: Tokens.open(self._folder / split) for split in SPLITS}
        self.notes: dict[str, dict[str, int]] = json.loads((self.documents_folder / "notes.json").read_text())

    @property
    def tagged(self) -> bool:
        """Whether all words of the documents have tags."""
        return all(source.tags is not None for source in self.recipe.sources)

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
                    partial(open_marked, self.documents_folder),
                    self.preparation_workers,
                    progress.advance,
                )

        return write_once(self.cache / f"{annotation.name}-{fingerprint(settings)}", write)

    def annotated(self, split: str) -> dict[str, np.ndarray]:
        """The annotations of a split's tokens, memory-mapped."""
        return {
            name: read_annotation(self.annotation_folders[name], annotation, split)
            for name, annotation in self.annotations.items()
        }

    def encode(
        self, texts: Sequence[str], marks: Sequence[Marks | None] | None = None
    ) -> tuple[dict[str, Tensor], Piece]:
        """Texts as a batch that masks take, one row each, and the piece that tells where its tokens stand.

        Rows are as long as the longest, [CLS] and [SEP] included; `attention_mask` says where the others end.

        Args:
            marks: of each text what its corpus says about its words.
        """
        piece = piece_of_texts(list(texts), self.tokenizer, None if marks is None else list(marks))
        numbers = {
            name: stored(annotation.open(self.annotation_folders[name], self.tokenizer)(piece), annotation)
            for name, annotation in self.annotations.items()
            if annotation.kind != "numbers"
        }
        rows = rows_of_piece(piece, numbers, self.tokenizer)
        order = np.arange(len(texts))
        return to_tensors(rows | {"examples": order, "epochs": np.zeros_like(order)}), piece

    def remarks(self) -> list[str]:
        """What a user should know about the corpus before a model learns from it."""
        found = []
        for name, part in self.recipe.parts.items():
            notes, of = self.notes[name], f"{name}: " if name else ""
            if empty := notes.get("empty"):
                found.append(f"{of}{empty:,} empty texts were left out")
            if (strays := notes.get("strays")) and notes.get("opened"):
                found.append(f"{of}{strays:,} I- tags without an entity before them were read as B- tags")
            for split, share in part.shares.items():
                if notes.get(f"own {split}"):
                    key = f"data{name and f'.parts.{name}'}.splits.{split}"
                    found.append(
                        f"{of}the source has a split {split} of its own, but {key}={share} takes a share of what "
                        f"is trained on; {key}={split} takes that split"
                    )
            for split, counts in (part.published or {}).items() if part.limit is None else ():
                for kind, number in counts.items():
                    if (read := notes.get(f"{kind} {split}", number)) != number:
                        found.append(
                            f"{of}the split {split} of the source holds {read:,} {kind}; as published it has "
                            f"{number:,}"
                        )
        blank = {split: int((np.diff(tokens.ends, prepend=0) == 1).sum()) for split, tokens in self.tokens.items()}
        if any(blank.values()):
            told = ", ".join(f"{number:,} of {split}" for split, number in blank.items() if number)
            found.append(f"the tokenizer leaves nothing of some texts: {told}")
        return found

    @property
    def baseline(self) -> float:
        """The loss, in nats, of guessing by frequency."""
        raise NotImplementedError

    @property
    def place(self) -> tuple[int, int]:
        """This device's number, and how many devices there are."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def sample(self, number: int) -> dict[str, Tensor]:
        """At most `number` examples, spread over the training split, as a batch of the first epoch."""
        raise NotImplementedError

    def steps(self, epochs: float) -> int:
        """Optimizer steps of so many passes over the training split."""
        raise NotImplementedError

    def size(self, split: str) -> str:
        """How many of what a model gets to see from a split, in words."""
        raise NotImplementedError

    def evaluation_loader(self, split: str) -> DataLoader:
        """What is evaluated of a split, once, spread over the devices."""
        raise NotImplementedError

    def check_devices(self, split: str, examples: int) -> None:
        """Refuses a split that leaves a device without an example."""
        if examples < self.place[1]:
            raise UserError(
                f"hardware.devices={self.place[1]}, and of the {split} split {examples} examples are evaluated, "
                "which leaves a device without one. Set hardware.devices=1."
            )

    def val_dataloader(self) -> DataLoader:
        return self.evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader:
        return self.evaluation_loader("test")

    def loader(
        self, read: Any, batches: Iterable[np.ndarray], collate: Callable[[Any], dict[str, Tensor]]
    ) -> DataLoader:
        """The batches that `read.__getitems__` answers for arrays of positions, as tensors."""
        return TimedLoader(
            read,
            batch_sampler=batches,  # type: ignore[arg-type]
            collate_fn=collate,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            worker_init_fn=_leave_signals_to_the_parent,
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[stage] = time.monotonic() - began


def _part(name: str, settings: dict[str, Any]) -> Documents:
    known = list(inspect.signature(documents_of).parameters)
    for key in settings:
        if key not in known:
            raise UserError(
                f"data.parts.{name}.{key} is no setting of a source.{nearest(key, known)} "
                f"Its settings are: {', '.join(known)}."
            )
    if settings.get("source") is None:
        raise UserError(f"data.parts.{name}.source is missing: name what the documents are read from.")
    try:
        return documents_of(**settings)
    except UserError as error:
        raise UserError(f"data.parts.{name}: {error}") from error


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


def to_tensors(batch: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def _batches(
    texts: Callable[[int, int], list[str]], runs: list[tuple[int, int]], advance: Callable[[int], None]
) -> Iterator[list[str]]:
    for first, last in runs:
        yield texts(first, last)
        advance(last - first)
