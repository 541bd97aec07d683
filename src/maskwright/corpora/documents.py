"""From a source to cleaned documents on disk, in train, validation and test."""

import hashlib
import heapq
import json
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from maskwright.annotations.annotation import Documents as MarkedDocuments
from maskwright.core.atomic import fingerprint, write_once
from maskwright.core.errors import UserError
from maskwright.core.parallel import parallel_map
from maskwright.core.terminal import bar
from maskwright.corpora import wikimedia
from maskwright.corpora.cleaning import cleaner
from maskwright.corpora.labels import Labelled, Tagged, marks
from maskwright.corpora.marks import Marks
from maskwright.corpora.source import Source
from maskwright.text.tokens import TextSlice

if TYPE_CHECKING:
    from datasets import DatasetDict

SPLITS = ("train", "validation", "test")
_CHARACTERS_PER_PIECE = 200_000
_BYTES_PER_RUN = 1_000_000
_SCHEMA = pa.schema(
    {
        "text": pa.string(),
        "label": pa.string(),
        # of tagged words the first character and the one behind the last, one after the other
        "words": pa.list_(pa.int32()),
        "tags": pa.list_(pa.string()),
        # of tagged words the number of the larger document that this text is a part of
        "document": pa.int32(),
    }
)
_FORMAT = 6  # to be raised when the same settings no longer give the same documents


@dataclass(frozen=True)
class Documents:
    """How documents are got from one source.

    Args:
        source: where the documents come from.
        cleaning: names of the cleaning steps.
        splits: for each of train, validation and test, the name of a split of the source, names joined by `+`, or
            the share of what is taken for training that a hash of the text assigns to it.
        limit: take only the first so many documents of each split of the source, or, where they have labels, so
            many drawn by a hash of their texts; None takes all.
        published: how many `texts`, `words` and `entities` (where they are tagged) splits of the source are known
            to hold.
    Raises:
        UserError: the splits are not shares or names that make sense together.
    """

    source: Source
    cleaning: tuple[str, ...]
    splits: dict[str, str | float]
    limit: int | None
    published: dict[str, dict[str, int]] | None = None

    def __post_init__(self) -> None:
        cleaner(self.cleaning)
        if not isinstance(self.splits.get("train"), str):
            raise UserError("data.splits.train must name the split of the source to train on, such as 'train'.")
        shares = self.shares
        if not all(0 < share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
            told = ", ".join(f"data.splits.{name}={share}" for name, share in shares.items())
            raise UserError(f"{told}: each share must lie between 0 and 1, and leave some for training.")
        if self.limit is not None and self.limit < 1:
            raise UserError(f"data.limit={self.limit} takes no documents; it is at least 1, or null for all.")

    @property
    def shares(self) -> dict[str, float]:
        """The splits that are taken from the source's train split by hash."""
        return {name: float(share) for name, share in self.splits.items() if not isinstance(share, str)}

    @property
    def taken(self) -> list[str]:
        """The splits of the source that `splits` names."""
        named = "+".join(taken for taken in self.splits.values() if isinstance(taken, str))
        return list(dict.fromkeys(named.split("+")))

    def settings(self) -> list[Any]:
        """What the documents depend on."""
        return [_FORMAT, self.source.identity(), self.cleaning, sorted(self.splits.items()), self.limit]

    def cleaned(self, workers: int, notes: Counter[str]) -> Iterator[tuple[str, list["_Row"]]]:
        """Batches of clean rows, each with the split that they belong to.

        Args:
            notes: counts `empty`, the texts of which cleaning leaves nothing; `texts <split>` of each split of the
                source, and `words <split>` and `entities <split>` where they are tagged; what `labels.iob2`
                counts; `documents`, the number of the last one of which tagged words are parts; and `own <split>`
                where the source has a split under a name that `splits` gives a share.
        """
        own = self.source.splits() if self.shares else set()
        notes.update(f"own {split}" for split in self.shares if split in own and split not in self.taken)
        is_dump = self.source.find()[0] == "dump"
        for name in dict.fromkeys(taken for taken in self.splits.values() if isinstance(taken, str)):
            targets = [split for split, taken in self.splits.items() if taken == name]
            shares = self.shares if "train" in targets else {}
            texts: Iterator[_Raw] = chain.from_iterable(
                _counted(self.source.read(part, notes), part, notes) for part in name.split("+")
            )
            if self.limit is not None:
                texts = iter(_sample(texts, self.limit)) if self.source.label else islice(texts, self.limit)
            clean = partial(_clean, steps=self.cleaning, is_dump=is_dump, shares=shares, target=targets[0])
            for cleaned, dropped in parallel_map(clean, _pieces(texts), workers):
                notes["empty"] += dropped
                for split, rows in cleaned.items():
                    yield from ((copy, rows) for copy in (targets if split == targets[0] else [split]))

    def reread(self) -> None:
        """Reads the source once more, for what its readers say of a row that they refuse.

        Raises:
            UserError: there is such a row.
        """
        for split in self.taken:
            for _ in self.source.read(split):
                pass


def documents_of(
    source: str,
    config: str | None = None,
    column: str = "text",
    document: Literal["row", "paragraph", "file", "article"] = "row",
    cleaning: Sequence[str] | None = None,
    splits: dict[str, str | float] | None = None,
    limit: int | None = None,
    tags: str | None = None,
    label: str | None = None,
    labels: Sequence[str] | None = None,
    published: dict[str, dict[str, int]] | None = None,
) -> Documents:
    """What a config says about one source; see `Source` and `Documents`."""
    where = Source(source, config, column, document, tags, label, None if labels is None else tuple(labels))
    return Documents(where, tuple(cleaning or ()), dict(splits or {}), limit, published)


@dataclass(frozen=True)
class Recipe:
    """A corpus: the documents of one source, or of several.

    Args:
        parts: the sources by their names, in this order; a single one needs no name.
    """

    parts: dict[str, Documents]

    @property
    def sources(self) -> list[Source]:
        return [part.source for part in self.parts.values()]

    def __str__(self) -> str:
        return ", ".join(
            f"data{name and f'.parts.{name}'}.source='{part.source.source}'" for name, part in self.parts.items()
        )

    def prepare(self, cache: Path, workers: int) -> Path:
        """The folder of the documents, read and cleaned by `workers` processes unless it is there.

        Raises:
            UserError: a source cannot be read, or a split would be empty.
        """
        settings = [part.settings() for part in self.parts.values()]
        key = fingerprint(settings[0] if len(settings) == 1 else settings)
        return write_once(cache / f"documents-{key}", partial(self._write, workers=workers))

    def _write(self, folder: Path, workers: int) -> None:
        counts = dict.fromkeys(SPLITS, 0)
        notes: dict[str, Counter[str]] = {}
        numbered = 0
        writers = {split: pa.ipc.new_stream(str(folder / f"{split}.arrow"), _SCHEMA) for split in SPLITS}
        limits = [part.limit for part in self.parts.values()]
        try:
            with bar("Reading and cleaning documents", limits[0] if len(limits) == 1 else None) as progress:
                for name, part in self.parts.items():
                    notes[name] = Counter(documents=numbered)  # no two parts have a document of the same number
                    for split, rows in part.cleaned(workers, notes[name]):
                        columns = zip(zip(*rows, strict=True), _SCHEMA, strict=True)
                        arrays = [pa.array(column, field.type) for column, field in columns]
                        writers[split].write_batch(pa.record_batch(arrays, schema=_SCHEMA))
                        counts[split] += len(rows)
                        progress.advance(len(rows))
                    numbered = notes[name]["documents"]
        finally:
            for writer in writers.values():
                writer.close()
        (folder / "notes.json").write_text(json.dumps(notes))
        if not any(counts.values()):
            raise UserError(f"{self} holds no text: every document is empty after cleaning.")
        for split, count in counts.items():
            if not count:
                told = ", ".join(f"{part.splits[split]}" for part in self.parts.values())
                raise UserError(
                    f"None of the {sum(counts.values())} documents of {self} fell to the {split} split "
                    f"(data.splits.{split}={told}). Take more or shorter documents (data.document=paragraph or row "
                    "for files, a larger data.limit) or a larger share."
                )


_Raw = str | Labelled | Tagged
_Row = tuple[str, str | None, list[int] | None, list[str] | None, int | None]  # as in the schema


def _counted(texts: Iterator[_Raw], split: str, notes: Counter[str]) -> Iterator[_Raw]:
    for text in texts:
        notes[f"texts {split}"] += 1
        if isinstance(text, Tagged):
            notes[f"words {split}"] += len(text.words)
            notes[f"entities {split}"] += sum(tag.startswith("B-") for tag in text.tags)
        yield text


def _sample(texts: Iterator[_Raw], number: int) -> list[_Raw]:
    """So many of labelled texts, in order, drawn by their hashes: data sets are often sorted by label."""
    drawn = heapq.nsmallest(number, enumerate(texts), key=lambda item: _place(f"limit {item[1].text}"))  # type: ignore[union-attr]
    return [text for _, text in sorted(drawn, key=lambda item: item[0])]


def _pieces(texts: Iterator[_Raw]) -> Iterator[list[_Raw]]:
    piece: list[_Raw] = []
    characters = 0
    for text in texts:
        piece.append(text)
        characters += len(text)
        if characters >= _CHARACTERS_PER_PIECE:
            yield piece
            piece, characters = [], 0
    if piece:
        yield piece


def _clean(
    texts: list[_Raw], steps: tuple[str, ...], is_dump: bool, shares: dict[str, float], target: str
) -> tuple[dict[str, list[_Row]], int]:
    """The texts, clean, by split; and how many were dropped because nothing is left of them."""
    clean = cleaner(steps)
    by_split: dict[str, list[_Row]] = {}
    dropped = 0
    for document in texts:
        row: _Row
        if isinstance(document, Tagged):
            text, words = document.plain(clean)
            row = text, None, [edge for word in words for edge in word], document.tags, document.document
        elif isinstance(document, Labelled):
            row = clean(document.text), document.label, None, None, None
        else:
            row = clean(wikimedia.plain_text(document) if is_dump else document), None, None, None, None
        if row[0]:
            by_split.setdefault(split_of(row[0], shares, target), []).append(row)
        else:
            dropped += 1
    return by_split, dropped


def split_of(text: str, shares: dict[str, float], rest: str = "train") -> str:
    """The split of a document: a function of its text alone, up to case, width and white space.

    So a document keeps its split when others come, go or move, and its copies go where it goes.

    Args:
        shares: the share of each split; what they leave falls to `rest`.
    """
    if not shares:
        return rest
    place = _place(text)
    for split, share in shares.items():
        if place < share:
            return split
        place -= share
    return rest


def _place(text: str) -> float:
    """Where in [0, 1) the hash of a text lies; that of copies is the same."""
    normal = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    digest = hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def open_texts(folder: Path) -> dict[str, TextSlice]:
    """For each split a function from (first, last) to the texts of those documents, memory-mapped."""
    return {split: partial(_slice, open_table(folder, split)) for split in SPLITS}


def open_marked(folder: Path) -> dict[str, MarkedDocuments]:
    """For each split a function from (first, last) to the texts of those documents and what is marked in them."""
    return {split: partial(_marked_slice, open_table(folder, split)) for split in SPLITS}


def _marked_slice(table: pa.Table, first: int, last: int) -> tuple[list[str], list[Marks | None]]:
    rows = table.slice(first, last - first)
    words, tags = rows.column("words").to_pylist(), rows.column("tags").to_pylist()
    found = [
        None if edges is None else marks(list(zip(edges[::2], edges[1::2], strict=True)), of_words)
        for edges, of_words in zip(words, tags, strict=True)
    ]
    return rows.column("text").to_pylist(), found


def _slice(table: pa.Table, first: int, last: int) -> list[str]:
    return table.slice(first, last - first).column("text").to_pylist()


def open_table(folder: Path, split: str) -> pa.Table:
    """The documents of a split as they stand on disk: text, label, words, tags and document."""
    return pa.ipc.open_stream(pa.memory_map(str(folder / f"{split}.arrow"))).read_all()


def pieces(folder: Path) -> dict[str, list[tuple[int, int]]]:
    """For each split runs of documents, (first, behind the last), of about the same amount of text."""
    return {split: _runs(pc.binary_length(open_table(folder, split).column("text")).to_numpy()) for split in SPLITS}


def _runs(lengths: np.ndarray) -> list[tuple[int, int]]:
    """Cuts documents of these lengths, in bytes, into runs; one longer than a run is a run by itself."""
    run = np.cumsum(lengths, dtype=np.int64) // _BYTES_PER_RUN
    edges = [0, *(np.flatnonzero(np.diff(run)) + 1).tolist(), len(lengths)]
    return [(first, last) for first, last in pairwise(edges) if first < last]


def open_documents(folder: Path) -> "DatasetDict":
    """The documents as a memory-mapped `datasets.DatasetDict` with the column `text`."""
    import datasets  # takes a second to import

    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_file(str(folder / f"{split}.arrow")).select_columns(["text"])
            for split in SPLITS
        }
    )
