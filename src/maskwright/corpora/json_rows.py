"""Reads .jsonl and .json, whose rows are JSON objects, one row at a time."""

import json
import re
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from maskwright.core.errors import UserError
from maskwright.corpora.decoding import open_text
from maskwright.corpora.questions import squad_rows
from maskwright.corpora.rows import Columns, Format, Row, positions

_CHUNK = 1 << 20  # characters of a list that are read at once
_LITERAL = len("-Infinity")  # the most characters in front of its cut end where an error of a cut text can be

_BLANKS = re.compile(r"[ \t\r\n]*")
_HALF = re.compile("[\ud800-\udfff]")


def read_json_lines(path: Path, columns: Columns, form: Format) -> Iterator[Row]:
    """Yields the rows of a file with a JSON object in each line."""
    with open_text(path, form.encoding) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number},"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{where} is not JSON: {error}.") from None
            yield where, _values(row, columns, where, form, escaped="\\u" in line)


def read_json(path: Path, columns: Columns, form: Format) -> Iterator[Row]:
    """Yields the rows of a file that holds a list of JSON objects, or one in each line; or questions, see
    `squad_rows`."""
    with open_text(path, form.encoding) as file:
        chunks = iter(partial(file.read, 1 << 12), "")  # a list may be one line
        first = next((start for chunk in chunks if (start := chunk.lstrip()[:1])), "")
    if "data.question" in columns and (questions := squad_rows(path, form.encoding)) is not None:
        for where, row in questions:
            yield where, _values(row, columns, where, form, escaped=False)
        return
    if first != "[":
        yield from read_json_lines(path, columns, form)
        return
    with open_text(path, form.encoding) as file:
        for number, (line, row, escaped) in enumerate(_items(file, path), 1):
            where = f"{path}, line {line}, row {number},"
            yield where, _values(row, columns, where, form, escaped)


def _items(file: TextIO, path: Path) -> Iterator[tuple[int, Any, bool]]:
    """Yields the items of a list: the line that each begins in, its value, and whether `\\u` is in its text.

    Raises:
        UserError: the file is not JSON.
    """
    parse = json.JSONDecoder().raw_decode
    text, place = "", 0  # what was read and not yielded, and where in it the next item begins
    line = 1  # of the file, in which it begins

    def read_on() -> bool:
        nonlocal text, place
        more = file.read(max(_CHUNK, len(text) - place))  # at least as much again: a long item is parsed few times
        text, place = text[place:] + more, 0
        return bool(more)

    def next_character() -> str:
        """Goes to the next character that is no blank, and returns it; none at the end."""
        nonlocal place, line
        while True:
            end = _BLANKS.match(text, place).end()  # type: ignore[union-attr]
            line += text.count("\n", place, end)
            place = end
            if place < len(text) or not read_on():
                return text[place : place + 1]

    def refuse(line: int, reason: str) -> UserError:
        return UserError(f"{path}, line {line}, is not JSON: {reason}.")

    next_character()
    place += 1  # the bracket
    if next_character() == "]":
        return
    while True:
        try:
            value, end = parse(text, place)
        except json.JSONDecodeError as error:
            is_cut = error.msg.startswith("Unterminated") or error.pos >= len(text) - _LITERAL
            if is_cut and read_on():
                continue
            raise refuse(line + text.count("\n", place, error.pos), error.msg) from None
        yield line, value, text.find("\\u", place, end) >= 0
        line += text.count("\n", place, end)
        place = end
        after = next_character()
        if after == "]":
            break
        if after != ",":
            raise refuse(line, "a comma or ] is missing")
        place += 1
        next_character()
    place += 1
    if next_character():
        raise refuse(line, "something follows the list")


def _values(row: Any, columns: Columns, where: str, form: Format, escaped: bool) -> list[object]:
    """Returns the values of a row in the columns that are asked for.

    Args:
        escaped: whether characters are written by their numbers, of which half a one may be left.
    """
    if not isinstance(row, dict):
        raise UserError(f"{where} is not a JSON object with the key '{columns['data.column']}'.")
    names = list(row)
    found = positions(columns, names, where, form.unlabelled)
    values = [None if position is None else row[names[position]] for position in found]
    if escaped:
        for value in chain.from_iterable(value if isinstance(value, list) else [value] for value in values):
            if isinstance(value, str) and (half := _HALF.search(value)):
                number = f"\\u{ord(half[0]):04x}"
                raise UserError(
                    f"{where} holds {number} by itself, half of a character. Characters beyond \\uffff are pairs "
                    "of such halves; remove the stray one."
                )
    return values
