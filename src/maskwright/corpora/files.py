"""The user's own files as documents."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Final

from maskwright.core.errors import UserError
from maskwright.corpora import hub
from maskwright.corpora.decoding import COMPRESSED, ending
from maskwright.corpora.labels import ANY, Labelled, Spelling, Tagged
from maskwright.corpora.questions import Asked
from maskwright.corpora.rows import SECOND, Columns, Format, texts_of
from maskwright.corpora.tables import READERS, class_names, is_readable

EACH: Final = "each"  # of `Source.document`: as `row`, with empty rows, which predictions keep too
_HEADING = re.compile(r"\s*= [^=].* =\s*$")


def read(
    path: Path,
    columns: Columns,
    document: str,
    spelling: Spelling = ANY,
    form: Format | None = None,
) -> Iterator[str | Labelled | Tagged | Asked]:
    """Yields the documents of one file, with labels or tags where `columns` names their column.

    Args:
        columns: the names of columns by the keys that name them, `data.column` first.
        document: see `Source`.
        form: how the file is written; None finds out.
    Raises:
        UserError: the file is not in the encoding that it should be in, has no such column, or is not of the format
            that its name says.
    """
    if not is_readable(path):
        unlabelled = bool(form and form.unlabelled)
        yield from _with_datasets(path, columns, document, spelling, unlabelled)
        return
    if SECOND in columns and ending(path) == ".txt":
        raise UserError(
            f"{path} has a text in each line and no columns, so it holds no pairs ({columns['data.column']}, "
            f"{columns[SECOND]}). Pairs of texts are read from .csv, .tsv, .jsonl, .json or .parquet."
        )
    if len(columns) > 1 and ending(path) == ".txt":
        [(key, column), *_] = [item for item in columns.items() if item[0] != "data.column"]
        key = key.partition(":")[0]
        advice = "data.label=file where the names of files or folders are labels, else " * (key == "data.label")
        raise UserError(f"{path} has no columns, so none is '{column}' ({key}). Set {advice}{key}=null.")
    form = form or Format()
    rows = READERS[ending(path)](path, columns, form)
    texts = texts_of(rows, columns, class_names(path, columns), spelling, form.unlabelled)
    yield from texts if len(columns) > 1 else documents(texts, document)  # type: ignore[arg-type]


def _with_datasets(
    path: Path, columns: Columns, document: str, spelling: Spelling, unlabelled: bool
) -> Iterator[str | Labelled | Tagged | Asked]:
    """Yields the documents of a file of another format, such as .arrow, if `datasets` reads it."""
    try:
        rows = hub.open_file(path)
    except Exception as error:
        raise UserError(
            f"data.source: {path} has an unknown file extension; the known ones are {', '.join(READERS)} (all but "
            f".parquet also compressed: {', '.join(COMPRESSED)}), and .xml, .xml.bz2, .xml.gz for a Wikimedia dump."
        ) from error
    texts = hub.texts_in(rows, columns, str(path), "train", spelling, unlabelled)
    yield from texts if len(columns) > 1 else documents(texts, document)  # type: ignore[arg-type]


def documents(rows: Iterable[str], document: str) -> Iterator[str]:
    """Yields rows of text joined into documents, see `Source.document`; words where each row is one."""
    if document == EACH:
        yield from (row.rstrip("\n") if isinstance(row, str) else row for row in rows)
        return
    if document == "row":
        yield from (row for row in rows if row.strip())
        return
    held: list[str] = []
    before = ""
    for row, after in pairwise(chain(rows, [""])):
        # a heading stands between empty rows: in the middle of an article, ` = 1 = ` is a line of a formula
        heading = _HEADING.match(row) and not before.strip() and not after.strip()
        ends = (document == "paragraph" and not row.strip()) or (document == "article" and heading)
        before = row
        if ends and held:
            yield "\n".join(held)
            held = []
        if row.strip():
            held.append(row.rstrip("\n"))
    if held:
        yield "\n".join(held)
