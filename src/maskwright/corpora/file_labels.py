"""Texts in .txt files whose names, or those of their folders, are labels: `pos.txt` and `neg.txt`."""

import re
from collections.abc import Iterator
from pathlib import Path

from maskwright.core.errors import UserError
from maskwright.corpora.decoding import COMPRESSED, ending
from maskwright.corpora.listing import split_named
from maskwright.corpora.rows import Format, Row
from maskwright.corpora.tables import read_lines

LABEL = "file"  # of `data.label`


def read(path: Path, root: Path | None, form: Format) -> Iterator[Row]:
    """Yields the texts of a .txt file, each with its label.

    In a folder whose name says no split, the name of the folder is the label and the file is one text. Elsewhere
    the name of the file is, without words that say a split, and each line is a text.

    Args:
        root: the folder that was searched; None if the file itself was named.
    Raises:
        UserError: the file is no .txt file.
    """
    if ending(path) != ".txt":
        raise UserError(
            f"{path}: data.label={LABEL} takes labels from the names of .txt files. Name the column of labels."
        )
    parts = () if root is None else path.relative_to(root).parts[:-1]
    folder = next((name for name in reversed(parts) if split_named(name) is None), None)
    rows = read_lines(path, {}, form)
    if folder is not None:
        yield str(path), ["".join(str(line) for _, [line] in rows), folder]
        return
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    words = [word for word in re.split(r"[-._ ]+", name.stem) if split_named(word) is None]
    label = "_".join(words)
    if not label:
        raise UserError(f"{path} has the name of a split, and none of a label (data.label={LABEL}).")
    yield from ((where, [line, label]) for where, [line] in rows if str(line).strip())
