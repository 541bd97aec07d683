"""Reads minimal pairs: two sentences, of which one is right."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from maskwright.core.errors import UserError
from maskwright.corpora.decoding import COMPRESSED, ending
from maskwright.corpora.lines import lines_of


class Pair(NamedTuple):
    """Two sentences, of which one is right.

    Attributes:
        good, bad: the right one, and the wrong one.
        paradigm: the contrast that they show.
        phenomenon: a group of paradigms.
    """

    good: str
    bad: str
    paradigm: str
    phenomenon: str


def read_pairs(path: Path, limit: int | None = None) -> list[Pair]:
    """Returns the pairs in a file, or in all files of a folder.

    - `.jsonl`: the keys `sentence_good` and `sentence_bad`, and, if they are there, `UID`, the paradigm, and
      `linguistics_term`, the phenomenon, as in BLiMP (Warstadt et al., 2020).
    - `.txt`: a wrong sentence in each odd line, and the right one in the line after it, as in Zorro (Huebner et
      al., 2021), whose files are named `<phenomenon>-<paradigm>.txt`.
    - `.csv`: the columns `good` and `bad`, and, if they are there, `paradigm` and `phenomenon`.

    Args:
        limit: the pairs taken of each paradigm, the first ones; None takes all.
    Raises:
        UserError: there are none, a sentence is missing, or both are the same.
    """
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if ending(file) in _READERS)
        if not files:
            raise UserError(f"pairs={path} holds no files that end in {', '.join(_READERS)}.")
    pairs: list[Pair] = []
    for file in files:
        empty = True
        for where, pair in _READERS.get(ending(file), _unknown)(file):
            empty = False
            if not (pair.good.strip() and pair.bad.strip()):
                raise UserError(f"{where}: a sentence of the pair is missing.")
            if pair.good == pair.bad:
                raise UserError(f"{where}: both sentences of the pair are {pair.good!r}, so none is the right one.")
            pairs.append(pair)
        if empty:
            raise UserError(f"pairs={file} holds no pairs.")
    return first_of_each(pairs, limit)


def first_of_each(pairs: Sequence[Pair], number: int | None) -> list[Pair]:
    """Returns the first pairs of each paradigm; all of them if `number` is None."""
    counts: Counter[str] = Counter()
    found = []
    for pair in pairs:
        counts[pair.paradigm] += 1
        if number is None or counts[pair.paradigm] <= number:
            found.append(pair)
    return found


def _unknown(path: Path) -> Iterator[tuple[str, Pair]]:
    if not path.exists():
        raise UserError(f"pairs={path} does not exist.")
    raise UserError(
        f"pairs={path} is no format that is known; name a file that ends in {', '.join(_READERS)}, which may be "
        f"compressed ({', '.join(COMPRESSED)}), or a folder of such files."
    )


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _of_json(path: Path) -> Iterator[tuple[str, Pair]]:
    for number, line in enumerate(lines_of(path, "pairs"), start=1):
        if not line.strip():
            continue
        where = f"pairs={path}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: this is not JSON: {error}.") from None
        if not isinstance(row, dict):
            raise UserError(f"{where}: this is no JSON object.")
        paradigm = str(row.get("UID") or _stem(path))
        phenomenon = str(row.get("linguistics_term") or paradigm)
        yield where, _pair(row, "sentence_good", "sentence_bad", paradigm, phenomenon, where)


def _of_lines(path: Path) -> Iterator[tuple[str, Pair]]:
    phenomenon, _, paradigm = _stem(path).rpartition("-")
    bad = None
    number = 0
    for number, line in enumerate(lines_of(path, "pairs"), start=1):
        if bad is None:
            bad = line
        else:
            yield f"pairs={path}, line {number}", Pair(line, bad, _stem(path), phenomenon or paradigm)
            bad = None
    if bad is not None:
        raise UserError(f"pairs={path}, line {number}: the line with the right sentence is missing after it.")


def _of_csv(path: Path) -> Iterator[tuple[str, Pair]]:
    reader = csv.DictReader((f"{line}\n" for line in lines_of(path, "pairs")), strict=True)
    try:
        for row in reader:
            where = f"pairs={path}, line {reader.line_num}"
            paradigm = row.get("paradigm") or _stem(path)
            yield where, _pair(row, "good", "bad", paradigm, row.get("phenomenon") or paradigm, where)
    except csv.Error as error:
        raise UserError(f"pairs={path}, line {reader.line_num}: {error}.") from None


def _pair(row: dict[str, Any], good: str, bad: str, paradigm: str, phenomenon: str, where: str) -> Pair:
    for name in (good, bad):
        if not isinstance(row.get(name), str):
            raise UserError(f"{where}: '{name}' is missing. It has {', '.join(map(str, row))}.")
    return Pair(row[good], row[bad], paradigm, phenomenon)


_READERS: dict[str, Callable[[Path], Iterator[tuple[str, Pair]]]] = {
    ".jsonl": _of_json,
    ".txt": _of_lines,
    ".csv": _of_csv,
}
