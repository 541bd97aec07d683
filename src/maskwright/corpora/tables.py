"""Reads the rows of files, in the columns that the config names."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from maskwright.core.errors import UserError
from maskwright.corpora.decoding import ending, open_text, unreadable
from maskwright.corpora.delimited import read_delimited
from maskwright.corpora.json_rows import read_json, read_json_lines
from maskwright.corpora.rows import Columns, Format, Row, positions


def read_lines(path: Path, columns: Columns, form: Format) -> Iterator[Row]:
    """Yields the lines of a file."""
    with open_text(path, form.encoding) as file:
        yield from ((str(path), [line]) for line in file)


def read_parquet(path: Path, columns: Columns, form: Format) -> Iterator[Row]:
    """Yields the rows of a parquet file."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{path} is not a parquet file: {error}") from None
    except OSError as error:
        raise unreadable(path, error) from error
    present = file.schema_arrow.names
    chosen = [
        None if position is None else present[position]
        for position in positions(columns, present, str(path), form.unlabelled)
    ]
    number = 0
    try:
        for batch in file.iter_batches(batch_size=256, columns=list({name for name in chosen if name is not None})):
            nothing = [None] * len(batch)
            values = [nothing if name is None else batch.column(name).to_pylist() for name in chosen]
            for row in zip(*values, strict=True):
                number += 1
                yield f"{path}, row {number},", row
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


READERS: dict[str, Callable[[Path, Columns, Format], Iterator[Row]]] = {
    ".txt": read_lines,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".parquet": read_parquet,
}


def is_readable(path: Path) -> bool:
    """Whether a reader exists for a file, by its name."""
    found = ending(path)
    return found in READERS and (found != ".parquet" or path.suffix.lower() == ".parquet")


def class_names(path: Path, columns: Columns) -> dict[str, list[str]]:
    """Returns the names of labels that a parquet file stores as numbers, if `datasets` wrote it, by key."""
    if ending(path) != ".parquet":
        return {}
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError):
        return {}  # reading its rows says what is wrong
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    import datasets  # takes a second to import

    features = datasets.Features.from_arrow_schema(schema)
    named = {key: names_of(features.get(str(column))) for key, column in columns.items()}
    return {key: names for key, names in named.items() if names is not None}


def names_of(feature: Any) -> list[str] | None:
    """Returns the names of labels that are stored as numbers, by the feature of `datasets` that describes them."""
    return getattr(getattr(feature, "feature", feature), "names", None)
