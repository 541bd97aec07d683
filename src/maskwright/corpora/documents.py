"""Documents on disk: one Arrow file for each of train, validation and test, and what was found in them."""

import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from maskwright.core.atomic import fingerprint, is_whole, write_once
from maskwright.core.engines import Advance, Engine
from maskwright.core.errors import UserError
from maskwright.core.parallel import Workers
from maskwright.corpora.findings import Findings
from maskwright.corpora.labels import marks
from maskwright.corpora.marks import Marks
from maskwright.corpora.reading import Reading, own_splits
from maskwright.corpora.recipe import Recipe
from maskwright.corpora.sharding import sharded
from maskwright.corpora.splits import SPLITS
from maskwright.text.tokens import TextSlice

if TYPE_CHECKING:
    from datasets import DatasetDict

_SHARDS = "shards.json"  # in a folder that only names others, those of the shards
_BYTES_PER_SHARD = 1_000_000
SCHEMA = pa.schema(
    {
        "text": pa.string(),
        "label": pa.string(),
        # of each tagged word its first character and the one after its last, word after word
        "words": pa.list_(pa.int32()),
        "tags": pa.list_(pa.string()),
        # of tagged words the number of the larger document that this text is a part of, from 1
        "document": pa.int32(),
        # of a text that may have several labels
        "labels": pa.list_(pa.string()),
        # of a question about the last context before it, its name, its answers, and of each the first character in
        # the context and the one after its last, -1 where the context does not hold it; null of other texts
        "question": pa.struct(
            {
                "id": pa.string(),
                "answers": pa.list_(pa.string()),
                "begins": pa.list_(pa.int32()),
                "ends": pa.list_(pa.int32()),
                "moved": pa.int32(),
            }
        ),
    }
)

MarkedSlice = Callable[[int, int], tuple[list[str], list[Marks | None]]]  # as `TextSlice`, and the marks of each


def prepare_documents(recipe: Recipe, cache: Path, engine: Engine) -> Path:
    """Returns the folder of the documents, which are read and cleaned unless it is there.

    Documents of several shards are in a folder for each, and the one that is returned names them.

    Raises:
        UserError: a source cannot be read, or a split would be empty.
    """
    shards = sharded(recipe)
    folders = [cache / f"documents-{fingerprint(own.settings())}" for _, own in shards]
    single = len(shards) == 1
    writes = {
        folder: partial(_write, recipe=own, complete=single)
        for folder, (_, own) in zip(folders, shards, strict=True)
        if not is_whole(folder)
    }
    limits = [own.limit for own in recipe.sources.values()]
    engine.fill(writes, "Reading and cleaning documents", limits[0] if len(limits) == 1 else None)
    if single:
        return folders[0]
    named = [(name, folder.name) for (name, _), folder in zip(shards, folders, strict=True)]
    index = cache / f"documents-{fingerprint(named)}"
    return write_once(index, partial(_join, recipe=recipe, shards=named))


def _write(folder: Path, workers: Workers, advance: Advance, recipe: Recipe, complete: bool) -> None:
    """Writes the documents of a recipe; `complete` if it is no shard, some of whose splits may be empty."""
    counts = dict.fromkeys(SPLITS, 0)
    findings: dict[str, Findings] = {}
    documents = 0
    writers = {split: pa.ipc.new_stream(str(folder / f"{split}.arrow"), SCHEMA) for split in SPLITS}
    try:
        for name, own in recipe.sources.items():
            reading = Reading(own, workers, documents)
            for split, rows in reading:
                columns = zip(zip(*rows, strict=True), SCHEMA, strict=True)
                arrays = [pa.array(column, field.type) for column, field in columns]
                writers[split].write_batch(pa.record_batch(arrays, schema=SCHEMA))
                counts[split] += len(rows)
                advance(len(rows), 0)
            findings[name] = reading.findings
            documents = reading.findings.documents
    finally:
        for writer in writers.values():
            writer.close()
    _write_findings(folder, findings)
    if complete:
        _check_counts(counts, recipe)


def _join(folder: Path, recipe: Recipe, shards: list[tuple[str, str]]) -> None:
    """Writes which shards a corpus is made of, each with the name of its source, and what was found in them."""
    findings = {name: Findings(own_splits=own_splits(own)) for name, own in recipe.sources.items()}
    counts = dict.fromkeys(SPLITS, 0)
    for name, shard in shards:
        [found] = read_findings(folder.parent / shard).values()
        findings[name].add(found)
        for split in SPLITS:
            counts[split] += open_table(folder.parent / shard, split).num_rows
    _check_counts(counts, recipe)
    (folder / _SHARDS).write_text(json.dumps([shard for _, shard in shards]))
    _write_findings(folder, findings)


def shard_folders(folder: Path) -> list[Path]:
    """Returns the folders of the shards of documents; the folder itself if they are in one."""
    try:
        return [folder.parent / name for name in json.loads((folder / _SHARDS).read_text())]
    except FileNotFoundError:
        return [folder]


def _check_counts(counts: dict[str, int], recipe: Recipe) -> None:
    """Refuses a corpus with a split of no documents."""
    if not any(counts.values()):
        raise UserError(f"{recipe} holds no text: every document is empty after cleaning.")
    for split, count in counts.items():
        if not count:
            given = ", ".join(f"{own.splits[split]}" for own in recipe.sources.values())
            raise UserError(
                f"None of the {sum(counts.values())} documents of {recipe} fell to the {split} split "
                f"(data.splits.{split}={given}). Take more or shorter documents (data.document=paragraph or row "
                "for files, a larger data.limit) or a larger share."
            )


def _write_findings(folder: Path, findings: dict[str, Findings]) -> None:
    notes = {name: found.to_notes() for name, found in findings.items()}
    (folder / "notes.json").write_text(json.dumps(notes))


def read_findings(folder: Path) -> dict[str, Findings]:
    """Returns what was found in the documents of each source, by the names of the sources."""
    notes = json.loads((folder / "notes.json").read_text())
    return {name: Findings.from_notes(own) for name, own in notes.items()}


def open_table(folder: Path, split: str) -> pa.Table:
    """Returns the documents of a split as they are on disk, memory-mapped, with the columns of `SCHEMA`."""
    paths = [shard / f"{split}.arrow" for shard in shard_folders(folder)]
    tables = [pa.ipc.open_stream(pa.memory_map(str(path))).read_all() for path in paths]
    # shards that were written before there was a column of `SCHEMA` lack it
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="default")


def open_texts(folder: Path) -> dict[str, TextSlice]:
    """Returns for each split a function from (first, last) to the texts of those documents, memory-mapped."""
    return {split: partial(_slice, open_table(folder, split)) for split in SPLITS}


def _slice(table: pa.Table, first: int, last: int) -> list[str]:
    return table.slice(first, last - first).column("text").to_pylist()


def open_marked(folder: Path) -> dict[str, MarkedSlice]:
    """Returns for each split a function from (first, last) to the texts of those documents and their marks."""
    are_plain = any(found.plain for found in read_findings(folder).values())
    return {split: partial(_marked_slice, open_table(folder, split), are_plain) for split in SPLITS}


def _marked_slice(table: pa.Table, are_plain: bool, first: int, last: int) -> tuple[list[str], list[Marks | None]]:
    rows = table.slice(first, last - first)
    words, tags = rows.column("words").to_pylist(), rows.column("tags").to_pylist()
    found = [
        None
        if edges is None
        else marks(list(zip(edges[::2], edges[1::2], strict=True)), None if are_plain else of_words)
        for edges, of_words in zip(words, tags, strict=True)
    ]
    return rows.column("text").to_pylist(), found


def shards(folder: Path) -> dict[str, list[tuple[int, int]]]:
    """Returns for each split runs of documents, (first, one after the last), of about the same amount of text."""
    return {split: _runs(pc.binary_length(open_table(folder, split).column("text")).to_numpy()) for split in SPLITS}


def _runs(lengths: np.ndarray) -> list[tuple[int, int]]:
    """Cuts documents of these lengths, in bytes, into runs; one longer than a shard is a run by itself."""
    number = np.cumsum(lengths, dtype=np.int64) // _BYTES_PER_SHARD
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(lengths)]
    return [(first, last) for first, last in pairwise(edges) if first < last]


def open_documents(folder: Path) -> "DatasetDict":
    """Returns the documents as a memory-mapped `datasets.DatasetDict` with the column `text`."""
    import datasets  # takes a second to import

    return datasets.DatasetDict(
        {
            split: datasets.concatenate_datasets(
                [
                    datasets.Dataset.from_file(str(shard / f"{split}.arrow")).select_columns(["text"])
                    for shard in shard_folders(folder)
                ]
            )
            for split in SPLITS
        }
    )
