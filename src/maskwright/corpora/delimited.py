"""Reads .csv and .tsv, whatever separates their columns."""

import csv
import sys
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from maskwright.core.errors import UserError
from maskwright.corpora.decoding import ending, open_text
from maskwright.corpora.rows import Columns, Format, Row, positions

_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}  # of what separates columns
_SPELLED = {"\\t": "\t"} | {name: delimiter for delimiter, name in _NAMES.items()}


def read_delimited(path: Path, columns: Columns, form: Format) -> Iterator[Row]:
    """Yields the rows of a file whose columns are separated by commas, tabs, semicolons or bars."""
    csv.field_size_limit(sys.maxsize)
    delimiter, quoting = _dialect(path, columns, form)
    with open_text(path, form.encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True, quoting=quoting)
        try:
            first = next(reader, [])
            rows: Iterator[list[str]] = reader
            if form.header:
                names = [name.strip() for name in first]
                hint = (
                    " The first line is taken for names; where it is a row, set data.header=false and number the "
                    "columns: data.column=1"
                )
            else:
                names, rows = [str(number) for number in range(1, len(first) + 1)], chain([first], reader)
                hint = " With data.header=false columns have numbers: data.column=1"
            chosen = positions(columns, names, str(path), form.unlabelled, hint)
            for row in rows:
                if not row:
                    continue
                where = f"{path}, line {reader.line_num},"
                if len(row) != len(names):
                    between = _NAMES.get(delimiter, delimiter)
                    raise UserError(
                        f"{where} has {len(row)} values, but the first line {'names' if form.header else 'has'} "
                        f"{len(names)} columns. A value that contains a {between}, a quote or a line break must be "
                        'in "quotes".'
                    )
                yield where, [None if position is None else row[position] for position in chosen]
        except csv.Error as error:
            raise UserError(f"{path} is not CSV up to its end, line {reader.line_num}: {error}.") from None


def _dialect(path: Path, columns: Columns, form: Format) -> tuple[str, Any]:
    """Returns what separates the columns of a file, and how they are quoted."""
    with open_text(path, form.encoding, newline="") as file:
        head = list(islice(file, 200))
    if form.delimiter is not None:
        delimiter = _SPELLED.get(form.delimiter, form.delimiter)
        if len(delimiter) != 1 or delimiter in '"\r\n':
            named = ", ".join(_NAMES.values())
            raise UserError(
                f"data.delimiter={form.delimiter!r} is not one character, nor the name of one: {named}."
            )
    else:
        usual = "\t" if ending(path) == ".tsv" else ","
        delimiter = _delimiter(head, [usual, *(d for d in _NAMES if d != usual)], columns, form)
    plain = delimiter == "\t" and _knows_no_quotes(head)
    return delimiter, csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL


def _knows_no_quotes(head: list[str]) -> bool:
    """Whether quotes are part of the texts, as in many files with tabs: one would reach as far as the next."""
    lines = [line.rstrip("\r\n").split("\t") for line in head if line.strip()]
    quoted = [_is_quoted(field) for fields in lines for field in fields if field.startswith('"')]
    return len({*map(len, lines)}) == 1 and not all(quoted)


def _delimiter(head: list[str], candidates: list[str], columns: Columns, form: Format) -> str:
    """Returns the one that separates the columns asked for, else the one that separates most columns."""
    wanted = {str(name) for name in columns.values()}
    if form.header:
        names = {d: {name.strip() for name in next(csv.reader(head, delimiter=d), [])} for d in candidates}
        by_name = next((d for d in candidates if wanted <= names[d]), None)
        if by_name is not None:
            return by_name
    counts = {}
    for delimiter in candidates:
        try:
            found = {len(row) for row in islice(csv.reader(head, delimiter=delimiter), 20) if row}
        except csv.Error:
            found = set()
        counts[delimiter] = min(found, default=0) if len(found) == 1 or form.header else 1
    return max(candidates, key=lambda d: (counts[d] > 1) * (100 if d == candidates[0] else 1) * counts[d])


def _is_quoted(field: str) -> bool:
    return len(field) > 1 and field.endswith('"') and '"' not in field[1:-1].replace('""', "")
