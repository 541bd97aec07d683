"""Labelled text for fine-tuning: a corpus as batches of examples of similar length."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from torch import Tensor
from torch.utils.data import DataLoader

from maskwright.annotations.first_tokens import FirstPieces
from maskwright.core import hashing
from maskwright.core.errors import UserError, nearest
from maskwright.corpora.documents import SPLITS, open_table
from maskwright.corpora.labels import kinds_of
from maskwright.data import shuffling
from maskwright.data.corpus import Corpus, to_tensors
from maskwright.models.layers.case import Case
from maskwright.text.packing import rows_at
from maskwright.text.tokens import entropy

_POOL = 50  # batches whose examples are sorted together


class LabelledData(Corpus):
    """A corpus of texts with a label or a number each, or with a tag for each word.

    A row shows one text, or a window of it, between [CLS] and [SEP], padded to the longest row of its batch. The
    rows of an epoch are shuffled, then sorted by length in pools of some batches, cut where a batch is full, and
    the batches shuffled: all a function of the seed and the epoch, so that a run resumes anywhere.

    Args:
        target: what is to be predicted: the `class` of a text, a `value`, or `tags` of its words.
        block_size: T, most positions of a row, [CLS] and [SEP] included.
        tokens_per_batch: positions of an optimizer step, padding included, over all devices; a row that is
            longer is a batch by itself.
        evaluation_tokens_per_batch: the same of an evaluation batch, on each device.
        truncate: which tokens of a longer text a row shows: the `head`, the `tail`, `both` halves (Sun et al.,
            2019), or `windows`, as many rows as it takes. Tagged words always go by windows.
        context: `document` shows tagged words among those before and behind them, as far as `block_size` and their
            document reach; `none` shows them alone.
        corpus: see `Corpus`.
    Raises:
        UserError: the corpus has no such labels, or `labels` names too few, or one twice.
    Attributes:
        names: of the classes, or of the tags; empty where values are predicted.
    """

    def __init__(
        self,
        target: Literal["class", "value", "tags"],
        block_size: int,
        tokens_per_batch: int,
        evaluation_tokens_per_batch: int,
        truncate: Literal["head", "tail", "both", "windows"],
        context: Literal["none", "document"],
        **corpus: Any,
    ):
        if target == "tags":
            corpus["annotations"] = [*corpus.get("annotations", ()), FirstPieces()]
        super().__init__(**corpus)
        self.target, self.truncate, self.context = target, truncate, context
        self.block_size, self.tokens_per_batch = block_size, tokens_per_batch
        self.evaluation_tokens_per_batch = evaluation_tokens_per_batch
        key = "tags" if target == "tags" else "label"
        if any(getattr(source, key) is None for source in self.recipe.sources):
            raise UserError(
                f"data.{key} names no column, and this task learns from one. Choose labelled data "
                "(data=imdb, data=conll, data=csv), or name the column."
            )
        _check_given(self.recipe.sources[0].labels, least=2 if target == "class" else 1)

    def setup(self, stage: str | None = None) -> None:
        """Opens what `prepare_data` wrote.

        Raises:
            UserError: texts without labels, or numbers that are none.
        """
        super().setup(stage)
        tables = {split: open_table(self.documents_folder, split) for split in SPLITS}
        given = self.recipe.sources[0].labels
        targets: Mapping[str, np.ndarray | Tags]
        try:
            if self.target == "tags":
                self.names, targets = _tags(tables, given)
            elif self.target == "class":
                self.names, targets = _classes(tables, given)
            else:
                self.names, targets = [], {split: _values(table, split) for split, table in tables.items()}
        except _OtherLabel:
            for part in self.recipe.parts.values():
                part.reread()  # names the row, which documents in the cache do not know
            raise
        self.rows = {
            split: Rows(
                self,
                split,
                cut(self._documents(split, tables[split]), self.block_size - 2, self._truncate),
                targets[split],
            )
            for split in SPLITS
        }

    @property
    def _truncate(self) -> str:
        return "windows" if self.target == "tags" else self.truncate

    def _documents(self, split: str, table: pa.Table) -> "Stretches":
        """Where each text stands among the tokens, and how far what it is a part of reaches."""
        ends = np.asarray(self.tokens[split].ends)
        begins = np.concatenate([[0], ends[:-1]])
        if self.context == "none" or self.target != "tags":
            return Stretches(np.arange(len(ends)), begins, ends - 1, begins, ends - 1)
        opens = np.diff(table.column("document").to_numpy(), prepend=0) != 0  # they are numbered from 1
        first = np.flatnonzero(opens)
        of = np.cumsum(opens) - 1
        last = np.append(first[1:], len(ends)) - 1
        return Stretches(np.arange(len(ends)), begins, ends - 1, begins[first][of], ends[last][of] - 1)

    @property
    def counts(self) -> np.ndarray:
        """(C,) how often each class, or tag, occurs in training."""
        targets = self.rows["train"].targets
        return np.bincount(targets.tags if isinstance(targets, Tags) else targets, minlength=len(self.names))

    @property
    def values(self) -> list[float]:
        """Mean and standard deviation of the numbers in training."""
        values = self.rows["train"].targets
        assert not isinstance(values, Tags)
        return [float(np.mean(values)), float(np.std(values))]

    @property
    def baseline(self) -> float:
        return 1.0 if self.target == "value" else entropy(self.counts)  # 1: numbers in units of their variance

    def remarks(self) -> list[str]:
        found = super().remarks()
        if self.target != "value":
            absent = [name for name, count in zip(self.names, self.counts, strict=True) if not count]
            found += [f"the training split has no example of '{name}', so it cannot be learned" for name in absent]
        return found

    def sample(self, number: int) -> dict[str, Tensor]:
        rows = self.rows["train"]
        number = min(number, len(rows))
        chosen = np.arange(number) * len(rows) // number
        return to_tensors(rows.read(chosen, np.zeros_like(chosen)))

    def steps(self, epochs: float) -> int:
        whole, part = int(epochs), epochs % 1
        plan = self._plan()
        return sum(len(plan.batches(epoch)) for epoch in range(whole)) + math.ceil(part * len(plan.batches(whole)))

    def size(self, split: str) -> str:
        texts, rows = len(self.tokens[split].ends), len(self.rows[split])
        return f"{rows:,} examples" if rows == texts else f"{texts:,} texts in {rows:,} rows"

    def _plan(self) -> "Plan":
        return Plan(self.rows["train"].lengths, self.tokens_per_batch, self.seed)

    def train_dataloader(self) -> DataLoader:
        """The endless stream, from the step that the trainer has reached."""
        step = self.trainer.global_step if self.trainer else 0
        batches = _Endless(self._plan(), self.rows["train"].targets_of_rows, step, self.accumulate, *self.place)
        return self.loader(_Numbered(self.rows["train"]), batches, to_tensors)  # type: ignore[arg-type]

    def evaluation_loader(self, split: str) -> DataLoader:
        """Each row once, long ones first, spread over the devices."""
        rank, devices = self.place
        rows = self.rows[split]
        self.check_devices(split, len(rows))
        mine = np.argsort(-rows.lengths, kind="stable")[rank::devices]
        batches = [(0, batch, 1.0) for batch in full(mine, rows.lengths, self.evaluation_tokens_per_batch)]
        return self.loader(_Numbered(rows), batches, to_tensors)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Stretches:
    """Runs of tokens, (R,) int64 each.

    Attributes:
        documents: the number of the text that a run is of.
        begins, ends: its first token, and the one behind its last.
        least, most: how far the tokens around it belong to what it is a part of.
        gaps: how many tokens are left out in the middle of it; None leaves out none.
    """

    documents: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    least: np.ndarray
    most: np.ndarray
    gaps: np.ndarray | None = None


def cut(texts: Stretches, size: int, truncate: str) -> Stretches:
    """The runs of at most `size` tokens that rows show of texts; see `LabelledData`."""
    length = texts.ends - texts.begins
    if truncate == "windows":
        number = np.maximum(-(-length // size), 1)
        of = np.repeat(np.arange(len(length)), number)
        window = np.arange(len(of)) - np.repeat(np.cumsum(number) - number, number)
        begins = texts.begins[of] + window * size
        ends = np.minimum(begins + size, texts.ends[of])
        return Stretches(texts.documents[of], begins, ends, texts.least[of], texts.most[of])
    over = np.maximum(length - size, 0)
    begins, ends = texts.begins, texts.ends
    if truncate == "both":
        return Stretches(texts.documents, begins, ends, begins, ends, over)
    begins, ends = (begins, ends - over) if truncate == "head" else (begins + over, ends)
    return Stretches(texts.documents, begins, ends, begins, ends)


class Rows:
    """The rows of one split, read from disk as they are asked for.

    Attributes:
        documents: (R,) the text that each row shows, or shows a part of.
        lengths: (R,) positions of each row, [CLS] and [SEP] included.
        targets: (D,) int64 or float32, of each text; or `Tags`.
    """

    def __init__(self, data: LabelledData, split: str, stretches: Stretches, targets: "np.ndarray | Tags"):
        self.tokens, self.tokenizer = data.tokens[split], data.tokenizer
        self.annotations = data.annotated(split)
        self.first_pieces = self.annotations.pop(FirstPieces.name, None)
        self.stretches, self.targets = stretches, targets
        self.documents = stretches.documents
        begins = np.concatenate([[0], np.asarray(self.tokens.ends)])  # of each text
        self.opens = stretches.begins == begins[stretches.documents]
        length = stretches.ends - stretches.begins
        gaps = np.zeros_like(length) if stretches.gaps is None else stretches.gaps
        room = data.block_size - 2 - (length - gaps)
        before, behind = stretches.begins - stretches.least, stretches.most - stretches.ends
        behind = np.minimum(behind, room - np.minimum(room // 2, before))
        self.before = np.minimum(before, room - behind)
        self.shown = self.before + length - gaps + behind
        self.half, self.gaps = (length - gaps + 1) // 2, gaps
        self.lengths = self.shown + 2

    def __len__(self) -> int:
        return len(self.documents)

    @cached_property
    def targets_of_rows(self) -> np.ndarray:
        """(R,) how many targets each row has: one, or as many as words."""
        if self.first_pieces is None:
            return np.ones(len(self), np.int64)
        before = np.concatenate([[0], np.cumsum(np.asarray(self.first_pieces) >= 0)])
        return before[self.stretches.ends] - before[self.stretches.begins]

    def read(self, rows: np.ndarray, epochs: np.ndarray) -> dict[str, np.ndarray]:
        """The rows numbered `rows` (B,).

        Returns:
            What `rows_at` does; `examples` and `epochs` (B,); `texts` (B,), the number of each row's text; and
            `targets` (B,), or, of tags, `positions`, `targets`, `cases`, `valid` and `places` (B, K): where the
            first token of each word stands, its tag, its `Case`, False at padding, and its number in its text;
            and `opens` (B,), whether a row begins where its text does.
        """
        stretches, column = self.stretches, np.arange(int(self.shown[rows].max(initial=0)))
        real = column < self.shown[rows][:, None]
        index = (stretches.begins - self.before)[rows][:, None] + column
        index += (column >= self.half[rows][:, None]) * self.gaps[rows][:, None]
        found = (self.tokens.ids, self.tokens.flags, self.annotations)
        batch = rows_at(index, real, *found, self.tokenizer)
        texts = self.documents[rows]
        batch |= {"examples": rows, "epochs": epochs, "texts": texts}
        if not isinstance(self.targets, Tags):
            return batch | {"targets": self.targets[texts]}
        assert self.first_pieces is not None
        own = real & (index >= stretches.begins[rows][:, None]) & (index < stretches.ends[rows][:, None])
        words = np.where(own, self.first_pieces[np.where(real, index, 0)], -1)
        counts = (words >= 0).sum(axis=1)
        valid = np.arange(max(int(counts.max(initial=0)), 1)) < counts[:, None]
        positions, places = np.zeros(valid.shape, np.int64), np.zeros(valid.shape, np.int64)
        row, at = np.nonzero(words >= 0)
        positions[valid], places[valid] = at + 1, words[row, at]  # [CLS] stands before
        word = self.targets.begins[texts][:, None] + places
        targets, cases = (np.where(valid, column[word], 0) for column in (self.targets.tags, self.targets.cases))
        return batch | {
            "positions": positions,
            "targets": targets,
            "cases": cases,
            "valid": valid,
            "places": places,
            "opens": self.opens[rows],
        }


@dataclass(frozen=True)
class Tags:
    """All words of a split.

    Attributes:
        tags: (W,) int64.
        cases: (W,) int64, the `Case` of each.
        begins: (D + 1,) where those of each text begin.
    """

    tags: np.ndarray
    cases: np.ndarray
    begins: np.ndarray


def _check_given(labels: tuple[str, ...] | None, least: int) -> None:
    if labels is not None and len(set(labels)) < max(len(labels), least):
        raise UserError(
            f"data.labels={list(labels)} is to name at least {least}, and each once; null takes all that come."
        )


class _OtherLabel(UserError):
    """A text has a label, or a tag, that `data.labels` does not name."""


def _tags(tables: dict[str, pa.Table], given: tuple[str, ...] | None) -> tuple[list[str], dict[str, Tags]]:
    columns = {split: table.column("tags").combine_chunks() for split, table in tables.items()}
    spelled = {split: np.array(column.flatten().to_pylist(), dtype=object) for split, column in columns.items()}
    kinds = kinds_of(set().union(*spelled.values()))
    names = list(given) if given is not None else ["O", *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI")]
    for split, tags in spelled.items():
        if unknown := set(tags) - set(names):
            raise _OtherLabel(
                f"The {split} split has the tag '{sorted(unknown)[0]}' (data.tags), which data.labels does not "
                f"name. The tags are: {', '.join(names)}."
            )
    number = {name: i for i, name in enumerate(names)}
    return names, {
        split: Tags(
            np.array([number[tag] for tag in spelled[split]], np.int64),
            _cases(tables[split]),
            np.concatenate([[0], np.cumsum(column.value_lengths().to_numpy())]).astype(np.int64),
        )
        for split, column in columns.items()
    }


def _cases(table: pa.Table) -> np.ndarray:
    of = cache(Case.of)
    return np.array(
        [
            of(text[first:last])
            for text, edges in zip(table["text"].to_pylist(), table["words"].to_pylist(), strict=True)
            for first, last in zip(edges[::2], edges[1::2], strict=True)
        ],
        np.int64,
    )


def _classes(tables: dict[str, pa.Table], given: tuple[str, ...] | None) -> tuple[list[str], dict[str, np.ndarray]]:
    """The names of the classes, sorted, as numbers where they are some; and the class of each text."""
    columns = {split: table.column("label").to_pylist() for split, table in tables.items()}
    for split, labels in columns.items():
        if missing := labels.count(None):
            raise UserError(
                f"{missing:,} of the {len(labels):,} texts of the {split} split have no label (data.label). A "
                "class is learned from labelled texts: choose other data.splits, or task=mlm."
            )
    names = set().union(*columns.values())
    numeric = all(re.fullmatch(r"-?[0-9]+", name) for name in names)
    ordered = list(given) if given is not None else sorted(names)
    if given is None and numeric:
        ordered.sort(key=int)
    if len(ordered) < 2:
        raise UserError(f"All texts have the label '{ordered[0]}' (data.label); there is nothing to tell apart.")
    if others := names - {*ordered}:
        found = sorted(others)[0]
        raise _OtherLabel(
            f"There are texts with the label '{found}' (data.label), which data.labels does not name."
            f"{nearest(found, ordered)} The labels are: {', '.join(ordered)}."
        )
    number = {name: i for i, name in enumerate(ordered)}
    return ordered, {split: np.array([number[x] for x in labels], np.int64) for split, labels in columns.items()}


def _values(table: pa.Table, split: str) -> np.ndarray:
    values = np.zeros(len(table), np.float32)
    texts = table.column("text")
    for number, label in enumerate(table.column("label").to_pylist()):
        try:
            values[number] = float("nan") if label is None else float(label)
        except ValueError:
            values[number] = float("nan")
        if not np.isfinite(values[number]):
            raise UserError(
                f"The text '{texts[number].as_py()[:60]}' of the {split} split has {label!r} for a label "
                "(data.label), which is no finite number. Classes of other names are for task=classification."
            )
    return values


def full(rows: np.ndarray, lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """Rows in falling order of length, cut into batches of at most `budget` positions, padding included."""
    batches, first = [], 0
    while first < len(rows):
        behind = first + max(budget // int(lengths[rows[first]]), 1)
        batches.append(rows[first:behind])
        first = behind
    return batches


class Plan:
    """The batches of each epoch.

    Args:
        lengths: (R,) positions of each row.
        budget: positions of a batch.
        seed: of the order.
    """

    def __init__(self, lengths: np.ndarray, budget: int, seed: int):
        self.lengths, self.budget, self.seed = lengths, budget, seed
        self.batches = lru_cache(maxsize=2)(self._batches)

    def _batches(self, epoch: int) -> list[np.ndarray]:
        """Of an epoch: arrays of rows, in order."""
        rows = self._shuffled(len(self.lengths), epoch, 0)
        pool = max(int(_POOL * self.budget / self.lengths.mean()), 1)
        batches = []
        for first in range(0, len(rows), pool):
            own = rows[first : first + pool]
            batches += full(own[np.argsort(-self.lengths[own], kind="stable")], self.lengths, self.budget)
        return [batches[i] for i in self._shuffled(len(batches), epoch, 1)]

    def _shuffled(self, number: int, epoch: int, purpose: int) -> np.ndarray:
        start = np.full(number, hashing.start(self.seed, 0x67726F7570, epoch, purpose))  # "group"
        return shuffling.permute(np.arange(number), number, start)


class _Endless:
    """The epochs, rows and weights of a device's micro-batches, from a step on, without end.

    A weight is that of the mean loss of the rows in that of all pieces: 1 where each has as many targets. Every
    device and piece gets a row at least: where a batch has too few, its first stands in for others, and weighs
    nothing. Of classes that weigh differently, and of masked tokens beside labels, it is near what it should be.

    Args:
        targets: (R,) how many each row has.
    """

    def __init__(self, plan: Plan, targets: np.ndarray, step: int, accumulate: int, rank: int, devices: int):
        self.plan, self.targets, self.step = plan, targets, step
        self.accumulate, self.rank, self.devices = accumulate, rank, devices

    def __iter__(self) -> Iterator[tuple[int, np.ndarray, float]]:
        epoch, skipped = 0, self.step
        while skipped >= (number := len(self.plan.batches(epoch))):
            epoch, skipped = epoch + 1, skipped - number
        while True:
            for batch in self.plan.batches(epoch)[skipped:]:
                pieces, total = self.accumulate * self.devices, max(self.targets[batch].sum(), 1)
                for piece in range(self.accumulate):
                    own = batch[piece * self.devices + self.rank :: pieces]
                    weight = float(self.targets[own].sum() * pieces / total)
                    yield epoch, own if len(own) else batch[:1], weight
            epoch, skipped = epoch + 1, 0


class _Numbered:
    """Rows by their numbers, in an epoch, and the `weight` of their loss, (1,)."""

    def __init__(self, rows: Rows):
        self.rows = rows

    def __getitems__(self, batch: tuple[int, np.ndarray, float]) -> dict[str, np.ndarray]:
        epoch, rows, weight = batch
        return self.rows.read(rows, np.full_like(rows, epoch)) | {"weight": np.array([weight], np.float32)}
