"""From a source to cleaned documents on disk, in train, validation and test."""

import hashlib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from maskwright.data import wikimedia
from maskwright.data.source import Source
from maskwright.data.tagged import Tagged
from maskwright.errors import UserError
from maskwright.progress import bar
from maskwright.text.annotations import Documents as TaggedDocuments
from maskwright.text.annotations import Spans
from maskwright.text.cache import fingerprint, write_once
from maskwright.text.cleaning import cleaner
from maskwright.text.parallel import parallel_map
from maskwright.text.tokens import TextSlice

if TYPE_CHECKING:
    from datasets import DatasetDict

SPLITS = ("train", "validation", "test")
_CHARACTERS_PER_PIECE = 200_000
_BYTES_PER_RUN = 1_000_000
# tags: the first character of each tagged span and the one behind its last, one after the other
_SCHEMA = pa.schema({"text": pa.string(), "tags": pa.list_(pa.int32())})
_FORMAT = 2  # to be raised when the same settings no longer give the same documents


@dataclass(frozen=True)
class Documents:
    """The recipe of a corpus.

    Args:
        source: where the documents come from.
        cleaning: names of the cleaning steps.
        splits: for each of train, validation and test, the name of a split of the source, or the
            share of the source's train split that a hash of the text assigns to it.
        limit: take only the first so many documents of each split of the source; None takes all.
    Raises:
        UserError: the splits are not shares or names that make sense together.
    """

    source: Source
    cleaning: tuple[str, ...]
    splits: dict[str, str | float]
    limit: int | None

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

    def fingerprint(self) -> str:
        return fingerprint(
            [_FORMAT, self.source.identity(), self.cleaning, sorted(self.splits.items()), self.limit]
        )

    def prepare(self, cache: Path, workers: int) -> Path:
        """The folder of the documents, read and cleaned by `workers` processes unless it is there.

        Raises:
            UserError: the source cannot be read, or a split would be empty.
        """
        return write_once(cache / f"documents-{self.fingerprint()}", partial(self._write, workers=workers))

    def _write(self, folder: Path, workers: int) -> None:
        counts = dict.fromkeys(SPLITS, 0)
        writers = {split: pa.ipc.new_stream(str(folder / f"{split}.arrow"), _SCHEMA) for split in SPLITS}
        try:
            with bar("Reading and cleaning documents", self.limit) as progress:
                for split, rows in self._cleaned(workers):
                    columns = zip(zip(*rows, strict=True), _SCHEMA, strict=True)
                    arrays = [pa.array(column, field.type) for column, field in columns]
                    writers[split].write_batch(pa.record_batch(arrays, schema=_SCHEMA))
                    counts[split] += len(rows)
                    progress.advance(len(rows))
        finally:
            for writer in writers.values():
                writer.close()
        if not any(counts.values()):
            raise UserError(
                f"data.source='{self.source.source}' holds no text: every document is empty after cleaning."
            )
        for split, count in counts.items():
            if not count:
                raise UserError(
                    f"None of the {sum(counts.values())} documents of data.source='{self.source.source}' fell to "
                    f"the {split} split (data.splits.{split}={self.splits[split]}). Take more or shorter documents "
                    "(data.document=paragraph or row for files, a larger data.limit) or a larger share."
                )

    def _cleaned(self, workers: int) -> Iterator[tuple[str, list["_Row"]]]:
        """Batches of clean rows, each with the split that they belong to."""
        is_dump = self.source.find()[0] == "dump"
        for name in dict.fromkeys(split for split in self.splits.values() if isinstance(split, str)):
            target = next(split for split, taken in self.splits.items() if taken == name)
            shares = self.shares if target == "train" else {}
            texts = islice(self.source.read(name), self.limit)
            clean = partial(_clean, steps=self.cleaning, is_dump=is_dump, shares=shares, target=target)
            for cleaned in parallel_map(clean, _pieces(texts), workers):
                yield from cleaned.items()


_Row = tuple[str, list[int] | None]  # text and tags


def _pieces(texts: Iterator[str | Tagged]) -> Iterator[list[str | Tagged]]:
    piece: list[str | Tagged] = []
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
    texts: list[str | Tagged], steps: tuple[str, ...], is_dump: bool, shares: dict[str, float], target: str
) -> dict[str, list[_Row]]:
    """The texts, clean, by split; those of which nothing is left are dropped."""
    clean = cleaner(steps)
    by_split: dict[str, list[_Row]] = {}
    for document in texts:
        tags = None
        if isinstance(document, Tagged):
            text, spans = document.plain(clean)
            tags = [edge for span in spans for edge in span]
        else:
            text = clean(wikimedia.plain_text(document) if is_dump else document)
        if text:
            by_split.setdefault(split_of(text, shares, target), []).append((text, tags))
    return by_split


def split_of(text: str, shares: dict[str, float], rest: str = "train") -> str:
    """The split of a document: a function of its text alone, up to case, width and white space.

    So a document keeps its split when others come, go or move, and its copies go where it goes.

    Args:
        shares: the share of each split; what they leave falls to `rest`.
    """
    if not shares:
        return rest
    normal = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    digest = hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    for split, share in shares.items():
        if place < share:
            return split
        place -= share
    return rest


def open_texts(folder: Path) -> dict[str, TextSlice]:
    """For each split a function from (first, last) to the texts of those documents, memory-mapped."""
    return {split: partial(_slice, _open(folder, split)) for split in SPLITS}


def open_tagged(folder: Path) -> dict[str, TaggedDocuments]:
    """For each split a function from (first, last) to the texts of those documents and their tagged spans."""
    return {split: partial(_tagged_slice, _open(folder, split)) for split in SPLITS}


def _tagged_slice(table: pa.Table, first: int, last: int) -> tuple[list[str], list[Spans | None]]:
    rows = table.slice(first, last - first)
    edges = rows.column("tags").to_pylist()
    spans = [None if e is None else list(zip(e[::2], e[1::2], strict=True)) for e in edges]
    return rows.column("text").to_pylist(), spans


def _slice(table: pa.Table, first: int, last: int) -> list[str]:
    return table.slice(first, last - first).column("text").to_pylist()


def _open(folder: Path, split: str) -> pa.Table:
    return pa.ipc.open_stream(pa.memory_map(str(folder / f"{split}.arrow"))).read_all()


def pieces(folder: Path) -> dict[str, list[tuple[int, int]]]:
    """For each split runs of documents, (first, behind the last), of about the same amount of text."""
    return {split: _runs(pc.binary_length(_open(folder, split).column("text")).to_numpy()) for split in SPLITS}


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
