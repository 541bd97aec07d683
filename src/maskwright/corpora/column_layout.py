"""How a file of columns is laid out: what separates its columns, which have names, which hold words and tags."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from maskwright.core.errors import UserError, nearest
from maskwright.corpora.decoding import ending, open_text
from maskwright.corpora.tag_schemes import with_prefix

DOCUMENT = "-DOCSTART-"  # the word that opens a document

CONLL_U = tuple("ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC".split())
CONLL_2003 = ("tokens", "pos_tags", "chunk_tags", "ner_tags")  # as data sets of the hub name them

# names of columns that options and data sets use, and that mean the words and the tags of any file
_OF_WORDS = ("tokens", "token", "words", "word", "text", "form")
_OF_TAGS = ("ner_tags", "ner_tag", "ner", "tags", "tag", "labels", "label")
_OTHERS = ("pos_tags", "pos_tag", "pos", "upos", "xpos", "chunk_tags", "chunk_tag", "chunk", "entity", "lemma")

_SAMPLE = 1000  # lines that are looked at before the file is read
_UNBROKEN = 200  # words of a file that may be one sentence
_BLANKS = re.compile(r"[ \t]+")  # other blanks, such as U+00A0, occur inside words
_ID = re.compile(r"\d+([-.]\d+)?")  # of a word, a range of words, and an empty node, in CoNLL-U
_NUMBER = re.compile(r"\d+([.,-]\d+)*")
_CHUNK = re.compile(r"O|[BI]-[A-Z]+")
_KEY = re.compile(r"#\s*([\w.]+\s*= |(new|begin |end )doc)")  # with which a comment begins
_GLOBAL = re.compile(r"#\s*global\.columns\s*=\s*(.+)")

Choice = str | int | None  # `data.column` or `data.tags`


@dataclass(frozen=True)
class Layout:
    """How a file of columns is laid out.

    Attributes:
        tabs: whether tabs separate columns, not blanks.
        count: how many columns there are; 0 in a file without a row.
        names: of the columns; None if they have none.
        header: whether the first row holds the names.
        words, tags: which columns hold words and tags, from 0; `tags` is None if words are alone on their lines.
        is_unbroken: whether no empty lines are between sentences.
    """

    tabs: bool
    count: int
    names: tuple[str, ...] | None
    header: bool
    words: int
    tags: int | None
    is_unbroken: bool = False

    @property
    def is_numbered(self) -> bool:
        """Whether the first column holds the numbers of words."""
        return self.names is not None and self.names[0] == "ID"

    def is_word(self, row: Sequence[str]) -> bool:
        """Whether a row is of a word, not of a range of words or an empty node, as CoNLL-U has them."""
        return not self.is_numbered or row[0].isdecimal()

    def cells(self, line: str) -> list[str]:
        """Returns the columns of a line; none if it is empty."""
        return cells(line, self.tabs)

    def is_comment(self, line: str, row: Sequence[str], opens_sentence: bool) -> bool:
        """Whether a line that begins with `#` is none of the rows.

        Args:
            row: the columns of the line.
            opens_sentence: whether no word of the sentence came before it.
        """
        if not line.startswith("#"):
            return False
        if len(row) == self.count:
            return self.is_numbered or bool(_KEY.match(line))
        return opens_sentence or len(row) > 1 or self.is_numbered


def cells(line: str, tabs: bool) -> list[str]:
    """Returns the columns of a line; none if it is empty."""
    if not line.strip():
        return []
    line = line.rstrip("\r\n")
    return [cell.strip(" ") for cell in line.split("\t")] if tabs else _BLANKS.split(line.strip(" \t"))


def find_layout(path: Path, column: Choice, tags: Choice, encoding: str | None = None) -> Layout:
    """Returns the layout of a file by its first lines.

    Args:
        column, tags: the columns of words and tags: a number from 1, or from -1 at the end, or a name.
        encoding: of the file; None takes what a byte-order mark says, else UTF-8.
    Raises:
        UserError: there is no such column, or it holds no words, or no tags; or the file is in another encoding.
    """
    with open_text(path, encoding) as file:
        lines = list(islice(file, _SAMPLE))
    return _layout(lines, path, column, tags)


def looks_like_columns(path: Path, encoding: str | None = None) -> bool:
    """Whether the first lines of a file hold the same number of columns, or a word each in sentences."""
    with open_text(path, encoding, errors="replace") as file:  # reading it says what its encoding may be
        lines = list(islice(file, 100))
    rows = _rows(lines, any("\t" in line for line in lines))
    counts = {len(row) for row in rows}
    return len(rows) > 1 and len(counts) == 1 and (counts != {1} or "" in map(str.strip, lines))


def _rows(lines: Sequence[str], tabs: bool) -> list[list[str]]:
    """Returns the columns of the lines that are neither empty nor comments, nor open a document."""
    rows = [(line, cells(line, tabs)) for line in lines]
    found = [row for line, row in rows if row and not line.startswith("#") and DOCUMENT not in row]
    return found or [row for _, row in rows if row and DOCUMENT not in row]


def _layout(lines: Sequence[str], path: Path, column: Choice, tags: Choice) -> Layout:
    plain = [line for line in lines if line.strip() and not line.startswith(("#", DOCUMENT))] or lines
    tabs = "\t" in next(iter(plain), "")
    rows = _rows(lines, tabs)
    if not rows:
        return Layout(tabs, 0, None, False, 0, None)
    counts = Counter(map(len, rows))
    count = len(rows[0]) if len(rows[0]) > 1 else counts.most_common(1)[0][0]
    is_unbroken = len(rows) > _UNBROKEN and all(map(str.strip, lines))
    if set(counts) == {1}:
        return Layout(tabs, 1, None, False, 0, None, is_unbroken)
    names, header = _names(lines, rows, count, path, (column, tags))
    body = rows[1:] if header else rows
    known = CONLL_2003 if names is None and _are_of_conll_2003(rows) else names
    words, _ = _find("data.column", column, known, count, path, rows[0])
    of_tags, named = _find("data.tags", tags, known, count, path, rows[0])
    layout = Layout(tabs, count, names, header, words, of_tags, is_unbroken)
    body = [row for row in body if len(row) == count and layout.is_word(row)]
    _check_words(layout, body, path)
    if names is not None and names[of_tags] in CONLL_U and not named:
        _check_tags(names[of_tags], names, [row[of_tags] for row in body], path)
    return layout


def _names(
    lines: Sequence[str], rows: Sequence[Sequence[str]], count: int, path: Path, asked: tuple[Choice, ...]
) -> tuple[tuple[str, ...] | None, bool]:
    """Returns the names of the columns, and whether the first row holds them."""
    for line in lines:
        if (found := _GLOBAL.match(line)) and len(found[1].split()) == count:
            return tuple(found[1].split()), False
    if count == len(CONLL_U) and (ending(path) == ".conllu" or all(_ID.fullmatch(row[0]) for row in rows)):
        return CONLL_U, False
    first = [cell.lower() for cell in rows[0]]
    own = {name.lower() for name in asked if isinstance(name, str)}.difference(_OF_WORDS, _OF_TAGS)
    usual = any(cell in _OF_WORDS for cell in first) and any(cell in _OF_TAGS + _OTHERS for cell in first)
    return (tuple(rows[0]), True) if usual or own & {*first} else (None, False)


def _are_of_conll_2003(rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows hold four columns, of which the third are tags of chunks, and the first no numbers."""
    return all(len(row) == len(CONLL_2003) and _CHUNK.fullmatch(row[2]) for row in rows) and not all(
        _NUMBER.fullmatch(row[0]) for row in rows
    )


def _find(
    key: str, choice: Choice, names: tuple[str, ...] | None, count: int, path: Path, row: Sequence[str]
) -> tuple[int, bool]:
    """Returns which column is chosen, from 0, and whether a name or number of its own chose it."""
    if isinstance(choice, int) or (choice is not None and re.fullmatch(r"-?\d+", choice)):
        number = int(choice)
        if number == 0 or abs(number) > count:
            raise UserError(
                f"{key}={choice}, but {path} has {count} columns: 1 to {count}, or -1 for the last ({_shown(row)})."
            )
        return (number - 1 if number > 0 else count + number), True
    lower = [name.lower() for name in names or ()]
    if choice is not None and choice.lower() in lower:
        return lower.index(choice.lower()), True
    is_words = key == "data.column"
    if choice is None or choice.lower() in (_OF_WORDS if is_words else _OF_TAGS) or (names is None and count == 2):
        usual, default = (_OF_WORDS, 0) if is_words else (_OF_TAGS, count - 1)
        return next((lower.index(name) for name in usual if name in lower), default), False
    if names is not None:
        raise UserError(
            f"{path} has no column '{choice}' ({key}).{nearest(choice, names)} Its columns are: "
            f"{', '.join(names)}. A number from 1 chooses one too."
        )
    raise UserError(
        f"{key}={choice}, but the columns of {path} have no names. Number one of them: 1 to {count}, or -1 for the "
        f"last ({_shown(row)})."
    )


def _check_words(layout: Layout, rows: Sequence[Sequence[str]], path: Path) -> None:
    """Refuses numbers and tags for words."""
    own = [row[layout.words] for row in rows]
    if any(cell != "O" for cell in own) and all(with_prefix(cell, "prefix") for cell in own):
        raise UserError(
            f"{path} has tags in its column {layout.words + 1} (data.column), where words are expected: "
            f"{_shown(rows[0])}. Choose the other way round, such as data.column=2 data.tags=1."
        )
    if len(own) > 2 and all(map(_NUMBER.fullmatch, own)):
        others = (i for i in range(layout.count) if i not in (layout.words, layout.tags))
        better = next((i for i in others if not all(_NUMBER.fullmatch(row[i]) for row in rows)), None)
        cure = "" if better is None else f", such as data.column={better + 1}"
        raise UserError(
            f"{path} has numbers alone in its column {layout.words + 1} (data.column), where words are expected: "
            f"{_shown(rows[0])}. Choose another column{cure}."
        )


def _check_tags(name: str, names: Sequence[str], tags: Sequence[str], path: Path) -> None:
    """Refuses the last column of CoNLL-U where it holds what it is meant for, and no tags of entities."""
    other = next((tag for tag in tags if not (with_prefix(tag, "prefix") or with_prefix(tag, "suffix"))), None)
    if other is not None:
        raise UserError(
            f"{path} is CoNLL-U, and its last column, {name}, holds no tags of entities but '{other:.40}'. Name "
            f"the column of tags: data.tags=UPOS, or another of {', '.join(names)}."
        )


def _shown(row: Sequence[str]) -> str:
    return ", ".join(f"{number}: {cell:.20}" for number, cell in enumerate(row, 1))
