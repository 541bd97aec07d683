"""The base class of all data modules: a corpus on disk, prepared once, opened for training and evaluation."""

import math
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from lightning import LightningDataModule
from pydantic import AfterValidator
from torch import Tensor
from torch.utils.data import DataLoader

from maskwright.annotations.annotation import Annotation, needs_tags
from maskwright.annotations.shards import Shard
from maskwright.annotations.storage import read_annotation
from maskwright.core.distributed import Rank, rank_of
from maskwright.core.engines import Engine, Preparation
from maskwright.core.errors import UserError
from maskwright.core.paths import cache_folder
from maskwright.core.types import NameOrShare, PathText, PositiveCount, PositiveRate
from maskwright.corpora.documents import (
    open_documents,
    open_table,
    prepare_documents,
    read_findings,
    shard_folders,
)
from maskwright.corpora.findings import Findings
from maskwright.corpora.marks import Marks
from maskwright.corpora.recipe import REPLAY, SOURCE_KEYS, Recipe, ReplaySettings, SourceSettings
from maskwright.corpora.sharding import sharded
from maskwright.corpora.splits import SPLITS
from maskwright.corpora.tag_schemes import Scheme
from maskwright.data.encode import encode
from maskwright.data.label_spec import LabelSpec
from maskwright.data.loader import Batched, Collate, make_loader
from maskwright.data.prepare import IdType, prepare_annotation, prepare_tokenizer, prepare_tokens
from maskwright.data.remarks import check_learnable, remarks_on, remarks_on_extension
from maskwright.text.tokenizer import Pretrained, Tokenizer, Trained
from maskwright.text.tokens import Tokens

if TYPE_CHECKING:
    from datasets import DatasetDict


def _has_room(block_size: int) -> int:
    if block_size < 3:
        raise ValueError("a row needs room for a token between [CLS] and [SEP]; take 3 or more")
    return block_size


BlockSize = Annotated[PositiveCount, AfterValidator(_has_room)]


class Corpus(LightningDataModule):
    """Documents of any source, cleaned, split and tokenized once, into a cache.

    Subclasses decide what becomes a batch.

    Args:
        tokenizer: how the tokenizer is made.
        id_type: type of the ids on disk; `auto` takes the smallest that holds the vocabulary.
        cache_dir: folder for prepared corpora.
        seed: of the order of the examples.
        accumulate_grad_batches: micro-batches that each device cuts its share of a step into.
        workers: processes that load batches; 0 loads in the training process.
        preparation: what prepares the corpus.
        annotations: numbers for tokens beyond their ids, which each batch holds by the names of the annotations.
        sources: several sources by name, each with the settings below and a `weight`. None of these is then given
            for the corpus itself, except `labels`, which applies to all sources.
        temperature: of the sizes of sources without weights, see `Proportions`.
        replay: one more source, of general text: its settings, and its `share` of what is seen in training.
        source, config, column, document, tags, label, labels, scheme: see `Source`.
        encoding, delimiter, header, label_names, question, answers, article: see `Source`.
        cleaning, splits, limit, published, published_as: see `SourceRecipe`.
    Raises:
        UserError: the settings do not fit together.
    Attributes:
        recipe: the sources and what is taken from them.
        tokenizer, tokens: what was prepared; `tokens` by split.
        documents_folder, tokenizer_folder: where documents and tokenizer are.
        annotation_folders: where annotations are, by their names.
        seconds: that each stage of the preparation took.
        findings: what was found in the documents of each source.
        labels: the names and statistics of labels, after `setup`; None for text without labels.
        unlabelled: the splits without labels, which cannot be evaluated, after `setup`.
    """

    labels: LabelSpec | None = None
    unlabelled: Collection[str] = ()

    def __init__(
        self,
        tokenizer: Trained | Pretrained,
        id_type: IdType,
        cache_dir: PathText,
        seed: int,
        accumulate_grad_batches: int = 1,
        workers: int = 0,
        preparation: Preparation | None = None,
        annotations: Sequence[Annotation] = (),
        sources: dict[str, SourceSettings] | None = None,
        temperature: PositiveRate = 1.0,
        replay: ReplaySettings | None = None,
        source: PathText | list[PathText] | None = None,
        config: str | None = None,
        column: str | int | list[str | int] = "text",
        document: Literal["row", "paragraph", "file", "article"] = "row",
        cleaning: list[str] | None = None,
        splits: dict[str, NameOrShare] | None = None,
        limit: int | None = None,
        tags: str | int | None = None,
        label: str | int | list[str | int] | None = None,
        labels: list[str | int | float | bool] | None = None,
        published: dict[str, dict[str, int]] | None = None,
        published_as: list[str] | None = None,
        scheme: Scheme | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        header: bool = True,
        label_names: dict[str | int | float | bool, str | int | float] | None = None,
        question: str | int | None = None,
        answers: str | int | None = None,
        article: str | int | None = None,
    ):
        given = locals()
        super().__init__()
        self.recipe = Recipe.of({key: given[key] for key in ("sources", "temperature", "replay", *SOURCE_KEYS)})
        self.choice = tokenizer
        self.id_type, self.seed = id_type, seed
        self.cache = cache_folder(cache_dir)
        self.accumulate_grad_batches, self.workers = accumulate_grad_batches, workers
        self.preparation = preparation or Preparation()
        self.annotations = {annotation.name: annotation for annotation in annotations}
        if not self.recipe.tagged and any(map(needs_tags, annotations)):
            raise UserError(
                "mask.units.source=tags, but the corpus has no tags. Name their column in data.tags, or take "
                "mask.units.source=rule."
            )
        self.annotation_folders: dict[str, Path] = {}
        self.seconds: dict[str, float] = {}
        self._folder: Path | None = None

    def prepare_data(self) -> None:
        """Writes documents, tokenizer, tokens and annotations into the cache, unless they exist."""
        if self._folder is not None:
            return
        with self.preparation.open() as engine:
            self._folder = self._prepare(engine)

    def _prepare(self, engine: Engine) -> Path:
        cache = self.cache
        with self._timed("documents"):
            documents = prepare_documents(self.recipe, cache, engine)
        with self._timed("tokenizer"):
            tokenizer = prepare_tokenizer(cache, self.choice, documents, self._own_documents(documents))
        self.documents_folder, self.tokenizer_folder = documents, tokenizer
        self.tokenizer = Tokenizer.load(tokenizer)
        if self.id_type == "uint16" and len(self.tokenizer) > 2**16:
            raise UserError(
                f"data.id_type=uint16 cannot hold the {len(self.tokenizer):,} tokens of the tokenizer "
                f"({self.choice}). Set data.id_type=auto or uint32."
            )
        with self._timed("tokens"):
            folder = prepare_tokens(cache, documents, tokenizer, engine, self.id_type)
        for name, annotation in self.annotations.items():
            with self._timed(name):
                self.annotation_folders[name] = prepare_annotation(
                    cache, annotation, documents, folder, tokenizer, engine.pool
                )
        return folder

    def _own_documents(self, documents: Path) -> int | None:
        """Returns how many training documents are not replayed; None if none are."""
        if REPLAY not in self.recipe.sources:
            return None
        folders = zip(sharded(self.recipe), shard_folders(documents), strict=True)
        return sum(open_table(own, "train").num_rows for (name, _), own in folders if name != REPLAY)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[stage] = time.monotonic() - began

    def setup(self, stage: str | None = None) -> None:
        """Opens what `prepare_data` wrote."""
        self.prepare_data()
        assert self._folder is not None
        self.tokens = {split: Tokens.open(self._folder / split) for split in SPLITS}
        check_learnable(self.tokens["train"], self.tokenizer)
        self.findings: dict[str, Findings] = read_findings(self.documents_folder)
        if any(found.plain for found in self.findings.values()) and any(map(needs_tags, self.annotations.values())):
            raise UserError(
                "mask.units.source=tags, but the tags of the corpus are no entities (data.scheme=plain). Choose a "
                "column of entities in data.tags, or take mask.units.source=rule."
            )

    @property
    def documents(self) -> "DatasetDict":
        """The cleaned documents, memory-mapped, with the column `text`."""
        return open_documents(self.documents_folder)

    def training_rows(self, most: float = math.inf) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the ids of the training split (B, T), -1 at padding, and which may be masked (B, T), once each.

        Args:
            most: about as many positions, if there are more, in rows spread evenly over the split.
        """
        raise NotImplementedError

    def texts(self, split: str) -> list[str]:
        """Returns the cleaned texts of a split, in order."""
        return open_table(self.documents_folder, split).column("text").to_pylist()

    def examples(self, split: str) -> list[dict[str, str]]:
        """Returns the cleaned texts of a split as rows of reports: a `text`, and the `text_pair` of a pair."""
        texts = self.texts(split)
        if not self.recipe.paired:
            return [{"text": text} for text in texts]
        return [{"text": a, "text_pair": b} for a, b in zip(texts[::2], texts[1::2], strict=True)]

    def words(self, split: str) -> list[list[str]]:
        """Returns the words of each tagged text of a split."""
        table = open_table(self.documents_folder, split)
        edges = table.column("words").to_pylist()
        return [
            [text[first:last] for first, last in zip(own[::2], own[1::2], strict=True)]
            for text, own in zip(table.column("text").to_pylist(), edges, strict=True)
        ]

    @cached_property
    def source_names(self) -> list[str]:
        """The names of the sources whose documents are known apart, in order; a single one has the name ""."""
        shards = sharded(self.recipe)
        return [*self.recipe.sources] if len(shards) > 1 else [shards[0][0]]

    def runs(self, split: str) -> list[tuple[int, int]]:
        """Returns the tokens [first, last) of a split that are of each of `source_names`."""
        tokens, shards = self.tokens[split], sharded(self.recipe)
        if len(self.source_names) == 1:
            return [(0, len(tokens.ids))]
        documents = dict.fromkeys(self.source_names, 0)
        for (name, _), folder in zip(shards, shard_folders(self.documents_folder), strict=True):
            documents[name] += open_table(folder, split).num_rows
        ends = [0, *(int(tokens.ends[last - 1]) if last else 0 for last in np.cumsum([*documents.values()]))]
        return [*pairwise(ends)]

    def evaluated_sources(self, split: str) -> list[str]:
        """Returns the names of the sources that have metrics of their own in an evaluation, in a fixed order."""
        return []

    @property
    def tagged(self) -> bool:
        """Whether all words of the documents have tags."""
        return self.recipe.tagged

    def annotated(self, split: str) -> dict[str, np.ndarray]:
        """Returns the annotations of the tokens of a split, memory-mapped, by their names."""
        return {
            name: read_annotation(self.annotation_folders[name], annotation, split)
            for name, annotation in self.annotations.items()
        }

    def encode(
        self, texts: Sequence[str], marks: Sequence[Marks | None] | None = None
    ) -> tuple[dict[str, Tensor], Shard]:
        """Returns texts as a batch for a masker, and where their tokens are; see `data.encode`."""
        return encode(texts, marks, self.tokenizer, self.annotations, self.annotation_folders)

    def remarks(self) -> list[str]:
        """Returns what a user should know about the corpus before a model is trained on it."""
        spelled = self.tokenizer.special.get("unk")
        unknown = None if spelled is None else self.tokenizer.backend.token_to_id(spelled)
        asked = self.choice.extend
        return [
            *remarks_on(self.recipe, self.findings, self.tokens, unknown),
            *(remarks_on_extension(self.tokenizer, asked) if asked else ()),
        ]

    def sample(self, number: int) -> dict[str, Tensor]:
        """Returns at most `number` examples, spread over the training split, as a batch of the first epoch."""
        raise NotImplementedError

    def steps(self, epochs: float) -> int:
        """Returns how many optimizer steps this many epochs of the training split take."""
        raise NotImplementedError

    def size(self, split: str) -> str:
        """Returns how many examples of a split a model sees, in words."""
        raise NotImplementedError

    def evaluation_loader(self, split: str) -> DataLoader:
        """Returns a loader of everything that is evaluated of a split, once, spread over the devices."""
        raise NotImplementedError

    def val_dataloader(self) -> DataLoader:
        return self.evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader:
        return self.evaluation_loader("test")

    @property
    def rank(self) -> Rank:
        """The rank of this process."""
        return rank_of(self.trainer)

    def check_devices(self, split: str, examples: int) -> None:
        """Checks that each device gets an example of a split.

        Raises:
            UserError: there are fewer examples than devices.
        """
        devices = self.rank.world_size
        if examples < devices:
            raise UserError(
                f"hardware.devices={devices}, but only {examples} examples of the {split} split are evaluated, "
                "which leaves a device without one. Set hardware.devices=1."
            )

    def loader(self, read: Batched, batches: Iterable[Any], collate: Collate | None = None) -> DataLoader:
        """Returns a loader for this machine; see `make_loader`."""
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        return make_loader(read, batches, self.workers, on_gpu, collate)
