"""Tagged words in columns: one word per line, an empty line after each sentence, as in the files of CoNLL-2003."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from maskwright.core.errors import UserError
from maskwright.corpora.column_layout import (
    DOCUMENT,
    Choice,
    Layout,
    find_layout,
    looks_like_columns,
)
from maskwright.corpora.decoding import ending, open_text
from maskwright.corpora.labels import ANY, Spelling, Tagged, tagged
from maskwright.corpora.listing import is_about

ENDINGS = (
    *(".conll", ".conllu", ".conllup", ".iob", ".iob2", ".bio", ".bio2", ".bioes", ".iobes", ".bilou", ".bmes"),
    *(".train", ".testa", ".testb", ".dev", ".test"),
)
ALSO = (".tsv", ".txt")  # endings of other files too
_OPENS = re.compile(r"#\s*(newdoc|begin document)\b")  # a document, in CoNLL-U and in CoNLL-2012
_ENDS = tuple(".!?。！？।۔")  # the last word of a sentence, in files without empty lines


def among(paths: Iterable[Path], encoding: str | None = None) -> list[Path]:
    """Returns the files that hold columns, by their names, and by what is in them where names do not say it."""
    return [
        path
        for path in paths
        if ending(path) in ENDINGS
        or (ending(path) in ALSO and not is_about(path) and looks_like_columns(path, encoding))
    ]


def check_alike(paths: Sequence[Path], column: Choice, tags: Choice, encoding: str | None = None) -> None:
    """Checks that the files of a source have their tags in the same column.

    Files without tags may have fewer.

    Raises:
        UserError: the tags are in the last column, by default or by a number, of which files have unlike numbers.
    """
    if re.fullmatch(r"[1-9]\d*", str(tags)):
        return
    layouts = {path: find_layout(path, column, tags, encoding) for path in paths}
    counts = {own.count: path for path, own in layouts.items() if own.tags is not None and own.names is None}
    if len(counts) > 1:
        (many, first), (few, second) = sorted(counts.items(), reverse=True)[:2]
        raise UserError(
            f"{first} has {many} columns and {second} has {few}, so the last ones do not hold the same tags. "
            "Number the column from the left (data.tags=2), or leave out a file."
        )


def read(
    path: Path,
    spelling: Spelling = ANY,
    column: Choice = None,
    tags: Choice = None,
    encoding: str | None = None,
) -> Iterator[Tagged]:
    """Yields the sentences of one file.

    Columns are separated by tabs where the first row has one, else by blanks; all rows have the same number of
    columns. Where all lines hold a word alone, the sentences have no tags. Where no lines are empty, sentences end
    with `.`, `!` or `?`. The file opens a document, and so does
    each line of `DOCUMENT` or `# newdoc`; other lines that begin with `#` and are no rows are comments.

    Args:
        column, tags: the columns of words and of tags: a number, from 1, or from -1 at the end; or a name, of
            CoNLL-U, of a line `# global.columns =`, or of the first row. None, and names that data sets of the hub
            have, such as `tokens` and `ner_tags`, take the first column of words and the last column.
        encoding: of the file; None takes what a byte-order mark says, else UTF-8.
    Raises:
        UserError: the file is in another encoding, or has no such column, or a row has no tag, or an unknown one,
            or more or fewer columns than the first row.
    """
    layout = find_layout(path, column, tags, encoding)
    for number, (words, of_words, numbers, opens) in enumerate(_sentences(path, layout, encoding)):
        where = f"{path}, lines {numbers[0]} to {numbers[-1]},"

        def at(word: int, numbers: list[int] = numbers) -> str:
            return f"{path}, line {numbers[word]},"

        text = tagged(words, of_words, None, spelling, where, opens, at)
        yield replace(text, cut=layout.is_unbroken and number > 0)


Sentence = tuple[list[str], list[str] | None, list[int], bool]


def _sentences(path: Path, layout: Layout, encoding: str | None) -> Iterator[Sentence]:
    """Yields of each sentence its words, its tags, the numbers of its lines, and whether it opens a document."""
    rows: list[tuple[str, str, int]] = []
    opens, header = True, layout.header

    def sentence() -> Sentence:
        words, tags, numbers = map(list, zip(*rows, strict=True))
        return words, None if layout.tags is None else tags, numbers, opens

    with open_text(path, encoding) as file:
        for number, line in enumerate(file, 1):
            row = layout.cells(line)
            first_or_word = row[:1] + row[layout.words : layout.words + 1]
            starts_document = DOCUMENT in first_or_word or bool(_OPENS.match(line))
            if row and not starts_document:
                if layout.is_comment(line, row, not rows):
                    continue
                if header:
                    header = False
                    continue
                if not layout.is_word(row):
                    continue
                _check_row(row, layout, path, number)
                rows.append((row[layout.words], row[layout.tags or 0], number))
                if not layout.is_unbroken or row[layout.words] not in _ENDS:
                    continue
            if rows:
                yield sentence()
                rows, opens = [], False
            opens = opens or starts_document
        if rows:
            yield sentence()


def _check_row(row: Sequence[str], layout: Layout, path: Path, number: int) -> None:
    if len(row) == layout.count:
        return
    if len(row) == 1:
        raise UserError(f"{path}, line {number}, holds '{row[0]}' alone; lines here hold a word and its tag.")
    raise UserError(
        f"{path}, line {number}, has {len(row)} columns ({' '.join(row):.60}), but the lines before it have "
        f"{layout.count}. All lines need the same number."
    )
