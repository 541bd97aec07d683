"""Tagged words in columns, a word a line and an empty line behind each sentence, as in CoNLL-2003's files."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from maskwright.core.errors import UserError
from maskwright.corpora.labels import Tagged, tagged

DOCUMENT = "-DOCSTART-"  # the word that opens a document
_BLANKS = re.compile(r"[ \t]+")  # others, as U+00A0, stand in words
ENDINGS = (".conll", ".iob", ".iob2", ".bio", ".train", ".testa", ".testb", ".dev", ".test")


def read(path: Path, labels: Sequence[str] | None, tally: Counter[str]) -> Iterator[Tagged]:
    """The sentences of one file: the first column holds words, the last one tags.

    Columns stand between tabs where the first line has one, else between blanks; all lines have as many. The file
    opens a document, and so does each line of `DOCUMENT`.

    Args:
        labels: the tags that there are; None takes all.
        tally: see `labels.tagged`.
    Raises:
        UserError: the file is not UTF-8, or a line has no tag, or none that is known, or more or fewer columns than
            the first.
    """
    words: list[str] = []
    tags: list[str] = []
    began = 1
    count, tabs = 0, False  # columns, and whether tabs stand between them
    tally["documents"] += 1

    def sentence() -> Tagged:
        where = f"{path}, lines {began} to {began + len(words) - 1},"
        return tagged(words, tags, None, labels, where, tally, lambda word: f"{path}, line {began + word},")

    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                line = line.rstrip("\n")
                tabs = tabs or (not count and "\t" in line)
                columns = line.split("\t") if tabs else _BLANKS.split(line.strip(" \t"))
                columns = [column.strip(" ") for column in columns] if line.strip() else []
                if columns and columns[0] != DOCUMENT:
                    if len(columns) < 2:
                        raise UserError(
                            f"{path}, line {number}, holds '{columns[0]}' alone; a line holds a word, and its tag "
                            "in the last column."
                        )
                    count = count or len(columns)
                    if len(columns) != count:
                        raise UserError(
                            f"{path}, line {number}, has {len(columns)} columns ({' '.join(columns):.60}), and the "
                            f"lines before it {count}. The last one is the tag, so all lines need as many."
                        )
                    began = began if words else number
                    words.append(columns[0])
                    tags.append(columns[-1])
                    continue
                if words:
                    yield sentence()
                    words, tags = [], []
                tally["documents"] += bool(columns)
            if words:
                yield sentence()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8. Convert it first: iconv -f latin1 -t utf-8 {path.name}") from None
