"""Tagged words in columns, a word a line and an empty line behind each sentence, as in CoNLL-2003's files."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from maskwright.data.labels import Tagged, tagged
from maskwright.errors import UserError

DOCUMENT = "-DOCSTART-"  # the word that opens a document
ENDINGS = (".conll", ".iob", ".iob2", ".bio", ".train", ".testa", ".testb", ".dev", ".test")


def read(path: Path, tally: Counter[str]) -> Iterator[Tagged]:
    """The sentences of one file: the first column holds words, the last one tags.

    Args:
        tally: see `labels.iob2`.
    Raises:
        UserError: the file is not UTF-8, or a line has no tag, or none that is known.
    """
    words: list[str] = []
    tags: list[str] = []
    began, opens = 1, False

    def sentence() -> Tagged:
        where = f"{path}, lines {began} to {began + len(words) - 1},"
        return replace(tagged(words, tags, None, where, tally), opens=opens)

    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                columns = line.split()
                if columns and columns[0] != DOCUMENT:
                    if len(columns) < 2:
                        raise UserError(
                            f"{path}, line {number}, holds '{columns[0]}' alone; a line holds a word, and its tag "
                            "in the last column."
                        )
                    began = began if words else number
                    words.append(columns[0])
                    tags.append(columns[-1])
                    continue
                if words:
                    yield sentence()
                    words, tags, opens = [], [], False
                opens |= bool(columns)
            if words:
                yield sentence()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8. Convert it first: iconv -f latin1 -t utf-8 {path.name}") from None
