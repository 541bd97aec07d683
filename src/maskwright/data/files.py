"""The user's own files: .txt, .jsonl, .csv, .parquet -> documents."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from maskwright.errors import UserError, nearest

_HEADING = re.compile(r"\s*= [^=].* =\s*$")


def read(path: Path, column: str, document: str) -> Iterator[str]:
    """The documents of one file.

    Raises:
        UserError: the file is not UTF-8, has no such column, or is not of the format its name says.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"data.source: {path} is of no known kind; the endings are {', '.join(READERS)}, "
            "and .xml, .xml.bz2, .xml.gz for a Wikimedia dump."
        )
    try:
        yield from documents(reader(path, column), document)
    except UnicodeDecodeError:
        offset = _first_bad_byte(path)
        raise UserError(
            f"{path} is not UTF-8: the byte at offset {offset} starts no character. "
            f"Convert it first, for example: iconv -f latin1 -t utf-8 {path.name}"
        ) from None


def documents(rows: Iterable[str], document: str) -> Iterator[str]:
    """Joins rows of text into documents; see `Source.document`."""
    if document == "row":
        yield from (row for row in rows if row.strip())
        return
    held: list[str] = []
    for row in rows:
        ends = (document == "paragraph" and not row.strip()) or (document == "article" and _HEADING.match(row))
        if ends and held:
            yield "\n".join(held)
            held = []
        if row.strip():
            held.append(row.rstrip("\n"))
    if held:
        yield "\n".join(held)


def _read_text(path: Path, column: str) -> Iterator[str]:
    with open(path, encoding="utf-8-sig") as file:
        yield from file


def _read_jsonl(path: Path, column: str) -> Iterator[str]:
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}, line {number}, is not JSON: {error}.") from None
            if not isinstance(row, dict):
                raise UserError(f"{path}, line {number}, is not a JSON object with the key '{column}'.")
            yield _text_of(row, column, f"{path}, line {number},")


def _read_csv(path: Path, column: str) -> Iterator[str]:
    csv.field_size_limit(sys.maxsize)
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            check_column(column, reader.fieldnames or [], str(path))
            for row in reader:
                yield _text_of(row, column, f"{path}, line {reader.line_num},")
        except csv.Error as error:
            raise UserError(f"{path} is not CSV up to its end, line {reader.line_num}: {error}.") from None


def _read_parquet(path: Path, column: str) -> Iterator[str]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{path} is not a parquet file: {error}") from None
    check_column(column, file.schema_arrow.names, str(path))
    try:
        for batch in file.iter_batches(batch_size=256, columns=[column]):
            yield from (as_text(value, column, str(path)) for value in batch.column(0).to_pylist())
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


READERS: dict[str, Callable[[Path, str], Iterator[str]]] = {
    ".txt": _read_text,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def check_column(column: str, columns: Iterable[str], where: str, key: str = "data.column") -> None:
    """Raises a UserError that lists the columns unless `column`, which the config names as `key`, is one."""
    columns = list(columns)
    if column not in columns:
        raise UserError(
            f"{where} has no column '{column}' ({key}).{nearest(column, columns)} "
            f"Its columns are: {', '.join(columns)}."
        )


def _text_of(row: dict, column: str, where: str) -> str:
    check_column(column, [name for name in row if name], where)
    return as_text(row[column], column, where)


def as_text(value: object, column: str, where: str) -> str:
    """A value of the text's column; nothing is an empty text.

    Raises:
        UserError: the value is of another kind.
    """
    if value is not None and not isinstance(value, str):
        raise UserError(f"{where} holds {type(value).__name__} in '{column}' (data.column), not text.")
    return value or ""


def _first_bad_byte(path: Path) -> int:
    """Offset of the first byte that is not UTF-8."""
    offset = 0
    with open(path, "rb") as file:
        for line in file:  # a line end is never inside a character
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return offset + error.start
            offset += len(line)
    return offset
