"""Tagged words in columns: one word per line, an empty line after each sentence, as in the files of CoNLL-2003."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from maskwright.core.errors import UserError
from maskwright.corpora.labels import Tagged, tagged

DOCUMENT = "-DOCSTART-"  # the word that opens a document
_BLANKS = re.compile(r"[ \t]+")  # other blanks, such as U+00A0, occur inside words
ENDINGS = (".conll", ".iob", ".iob2", ".bio", ".train", ".testa", ".testb", ".dev", ".test")


def read(path: Path, labels: Sequence[str] | None) -> Iterator[Tagged]:
    """Yields the sentences of one file: the first column holds words, the last one tags.

    Columns are separated by tabs where the first line has one, else by blanks; all lines have the same number of
    columns. The file opens a document, and so does each line of `DOCUMENT`.

    Args:
        labels: the tags that may occur; None allows all.
    Raises:
        UserError: the file is not UTF-8, or a line has no tag, or an unknown one, or more or fewer columns than the
            first line.
    """
    words: list[str] = []
    tags: list[str] = []
    began = 1
    count, tabs = 0, False  # of columns, and whether tabs separate them
    opens = True  # whether the next sentence opens a document

    def sentence() -> Tagged:
        where = f"{path}, lines {began} to {began + len(words) - 1},"
        return tagged(words, tags, None, labels, where, opens, lambda word: f"{path}, line {began + word},")

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
                            f"{path}, line {number}, has {len(columns)} columns ({' '.join(columns):.60}), but the "
                            f"lines before it have {count}. The last column is the tag, so all lines need the same "
                            "number."
                        )
                    began = began if words else number
                    words.append(columns[0])
                    tags.append(columns[-1])
                    continue
                if words:
                    yield sentence()
                    words, tags, opens = [], [], False
                opens = opens or bool(columns)
            if words:
                yield sentence()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8. Convert it first: iconv -f latin1 -t utf-8 {path.name}") from None
