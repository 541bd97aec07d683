"""Tagged words in columns, a word a line and an empty line behind each sentence, as in CoNLL-2003's files."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from maskwright.data.labels import Tagged, tagged
from maskwright.errors import UserError

DOCUMENT = "-DOCSTART-"  # the word that opens a document
ENDINGS = (".conll", ".iob", ".iob2", ".bio", ".train", ".testa", ".testb", ".dev", ".test")


def read(path: Path, labels: Sequence[str] | None, tally: Counter[str]) -> Iterator[Tagged]:
    """The sentences of one file: the first column holds words, the last one tags.

    Columns stand between tabs where the first line has one, else between blanks; all lines have as many.

    Args:
        labels: the tags that there are; None takes all.
        tally: see `labels.iob2`.
    Raises:
        UserError: the file is not UTF-8, or a line has no tag, or none that is known, or more or fewer columns than
            the first.
    """
    words: list[str] = []
    tags: list[str] = []
    began, opens = 1, False
    count, between = 0, None  # columns, and what stands between them

    def sentence() -> Tagged:
        where = f"{path}, lines {began} to {began + len(words) - 1},"
        return replace(tagged(words, tags, None, labels, where, tally), opens=opens)

    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                between = between or ("\t" if not count and "\t" in line else None)
                columns = [column.strip() for column in line.split(between)] if line.strip() else []
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
                    words, tags, opens = [], [], False
                opens |= bool(columns)
            if words:
                yield sentence()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8. Convert it first: iconv -f latin1 -t utf-8 {path.name}") from None
