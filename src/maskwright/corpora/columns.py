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
from maskwright.corpora.labels import Tagged, tagged
from maskwright.corpora.tag_schemes import Scheme

ENDINGS = (
    *(".conll", ".conllu", ".conllup", ".iob", ".iob2", ".bio", ".bio2", ".bioes", ".iobes", ".bilou", ".bmes"),
    *(".train", ".testa", ".testb", ".dev", ".test"),
)
ALSO = (".tsv", ".txt")  # endings of other files too
_ABOUT = re.compile(r"(readme|licen[cs]e|notice|citation|changelog|authors|notes?)\b.*", re.IGNORECASE)
_OPENS = re.compile(r"#\s*(newdoc|begin document)\b")  # a document, in CoNLL-U and in CoNLL-2012
_ENDS = tuple(".!?。！？।۔")  # the last word of a sentence, in files without empty lines


def among(paths: Iterable[Path]) -> list[Path]:
    """Returns the files that hold columns, by their names, and by what is in them where names do not say it."""
    paths = [path for path in paths if not _ABOUT.fullmatch(path.name)]
    return [
        path
        for path in paths
        if path.name.lower().endswith(ENDINGS) or (path.suffix.lower() in ALSO and looks_like_columns(path))
    ]


def check_alike(paths: Sequence[Path], column: Choice, tags: Choice) -> None:
    """Checks that the files of a source have their tags in the same column.

    Files without tags may have fewer.

    Raises:
        UserError: the tags are in the last column, by default or by a number, of which files have unlike numbers.
    """
    if re.fullmatch(r"[1-9]\d*", str(tags)):
        return
    layouts = {path: find_layout(path, column, tags) for path in paths}
    counts = {own.count: path for path, own in layouts.items() if own.tags is not None and own.names is None}
    if len(counts) > 1:
        (many, first), (few, second) = sorted(counts.items(), reverse=True)[:2]
        raise UserError(
            f"{first} has {many} columns and {second} has {few}, so the last ones do not hold the same tags. "
            "Number the column from the left (data.tags=2), or leave out a file."
        )


def read(
    path: Path,
    labels: Sequence[str] | None,
    column: Choice = None,
    tags: Choice = None,
    scheme: Scheme | None = None,
) -> Iterator[Tagged]:
    """Yields the sentences of one file.

    Columns are separated by tabs where the first row has one, else by blanks; all rows have the same number of
    columns. Where all lines hold a word alone, the sentences have no tags. Where no lines are empty, sentences end
    with `.`, `!` or `?`. The file opens a document, and so does
    each line of `DOCUMENT` or `# newdoc`; other lines that begin with `#` and are no rows are comments.

    Args:
        labels: the tags that may occur; None allows all.
        column, tags: the columns of words and of tags: a number, from 1, or from -1 at the end; or a name, of
            CoNLL-U, of a line `# global.columns =`, or of the first row. None, and names that data sets of the hub
            have, such as `tokens` and `ner_tags`, take the first column of words and the last column.
        scheme: of the tags; None is `prefix`.
    Raises:
        UserError: the file is not UTF-8, or has no such column, or a row has no tag, or an unknown one, or more or
            fewer columns than the first row.
    """
    try:
        layout = find_layout(path, column, tags)
        for number, (words, of_words, numbers, opens) in enumerate(_sentences(path, layout)):
            where = f"{path}, lines {numbers[0]} to {numbers[-1]},"

            def at(word: int, numbers: list[int] = numbers) -> str:
                return f"{path}, line {numbers[word]},"

            text = tagged(words, of_words, None, labels, where, opens, at, scheme)
            yield replace(text, cut=layout.is_unbroken and number > 0)
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8. Convert it first: iconv -f latin1 -t utf-8 {path.name}") from None


Sentence = tuple[list[str], list[str] | None, list[int], bool]


def _sentences(path: Path, layout: Layout) -> Iterator[Sentence]:
    """Yields of each sentence its words, its tags, the numbers of its lines, and whether it opens a document."""
    rows: list[tuple[str, str, int]] = []
    opens, header = True, layout.header

    def sentence() -> Sentence:
        words, tags, numbers = map(list, zip(*rows, strict=True))
        return words, None if layout.tags is None else tags, numbers, opens

    with open(path, encoding="utf-8-sig") as file:
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
