"""The user's own files, .txt, .jsonl, .csv or .parquet, as documents."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path

from maskwright.core.errors import UserError, nearest
from maskwright.corpora.labels import Labelled, label_of

_HEADING = re.compile(r"\s*= [^=].* =\s*$")


def read(
    path: Path, column: str, document: str, label: str | None = None, labels: Sequence[str] | None = None
) -> Iterator[str | Labelled]:
    """Yields the documents of one file, with the label in the column `label` where that is named.

    Args:
        document: see `Source.document`.
        labels: the labels that may occur; None allows all.
    Raises:
        UserError: the file is not UTF-8, has no such column, or is not of the format that its name says.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"data.source: {path} has an unknown file extension; the known ones are {', '.join(READERS)}, "
            "and .xml, .xml.bz2, .xml.gz for a Wikimedia dump."
        )
    columns = {"data.column": column} | ({} if label is None else {"data.label": label})
    try:
        rows = reader(path, columns)
        if label is None:
            yield from documents((as_text(text, column, where) for where, (text, *_) in rows), document)
            return
        if path.suffix.lower() == ".txt":
            raise UserError(f"{path} has no columns, so none is '{label}' (data.label). Set data.label=null.")
        for where, (text, value) in rows:
            yield Labelled(as_text(text, column, where), label_of(value, None, labels, where))
    except UnicodeDecodeError:
        offset = _first_bad_byte(path)
        raise UserError(
            f"{path} is not UTF-8: the byte at offset {offset} starts no character. "
            f"Convert it first, for example: iconv -f latin1 -t utf-8 {path.name}"
        ) from None


def documents(rows: Iterable[str], document: str) -> Iterator[str]:
    """Yields rows of text joined into documents; see `Source.document`."""
    if document == "row":
        yield from (row for row in rows if row.strip())
        return
    held: list[str] = []
    before = ""
    for row, after in pairwise(chain(rows, [""])):
        # a heading stands between empty rows: in the middle of an article, ` = 1 = ` is a line of a formula
        heading = _HEADING.match(row) and not before.strip() and not after.strip()
        ends = (document == "paragraph" and not row.strip()) or (document == "article" and heading)
        before = row
        if ends and held:
            yield "\n".join(held)
            held = []
        if row.strip():
            held.append(row.rstrip("\n"))
    if held:
        yield "\n".join(held)


Row = tuple[str, Sequence[object]]  # where it is, for messages, and its values in the columns that were asked for
Columns = Mapping[str, str]  # from keys of the config to names of columns


def _read_text(path: Path, columns: Columns) -> Iterator[Row]:
    with open(path, encoding="utf-8-sig") as file:
        yield from ((str(path), [line]) for line in file)


def _read_jsonl(path: Path, columns: Columns) -> Iterator[Row]:
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number},"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{where} is not JSON: {error}.") from None
            if not isinstance(row, dict):
                raise UserError(f"{where} is not a JSON object with the key '{columns['data.column']}'.")
            check_columns(columns, row, where)
            yield where, [row[name] for name in columns.values()]


def _read_csv(path: Path, columns: Columns) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            check_columns(columns, reader.fieldnames or [], str(path))
            for row in reader:
                where = f"{path}, line {reader.line_num},"
                if None in row or None in row.values():
                    number = len(reader.fieldnames or []) + len(row.get(None) or []) - [*row.values()].count(None)
                    raise UserError(
                        f"{where} has {number} values, but the first line names {len(reader.fieldnames or [])} "
                        'columns. A value that contains a comma, a quote or a line break must be in "quotes".'
                    )
                yield where, [row[name] for name in columns.values()]
        except csv.Error as error:
            raise UserError(f"{path} is not CSV up to its end, line {reader.line_num}: {error}.") from None


def _read_parquet(path: Path, columns: Columns) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{path} is not a parquet file: {error}") from None
    check_columns(columns, file.schema_arrow.names, str(path))
    number = 0
    try:
        for batch in file.iter_batches(batch_size=256, columns=list(dict.fromkeys(columns.values()))):
            for row in zip(*(batch.column(name).to_pylist() for name in columns.values()), strict=True):
                number += 1
                yield f"{path}, row {number},", row
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


READERS: dict[str, Callable[[Path, Columns], Iterator[Row]]] = {
    ".txt": _read_text,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def check_columns(columns: Columns, present: Iterable[str], where: str) -> None:
    """Raises a UserError that lists the existing columns, unless all columns that the config names exist."""
    present = list(present)
    for key, column in columns.items():
        if column not in present:
            raise UserError(
                f"{where} has no column '{column}' ({key}).{nearest(column, present)} "
                f"Its columns are: {', '.join(present)}."
            )


def as_text(value: object, column: str, where: str) -> str:
    """Returns a value of the column of texts; None is an empty text.

    Raises:
        UserError: the value is neither.
    """
    if value is not None and not isinstance(value, str):
        raise UserError(f"{where} holds {type(value).__name__} in '{column}' (data.column), not text.")
    return value or ""


def _first_bad_byte(path: Path) -> int:
    """Returns the offset of the first byte that is not UTF-8."""
    offset = 0
    with open(path, "rb") as file:
        for line in file:  # lines never end inside a character
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return offset + error.start
            offset += len(line)
    return offset
