"""`data.source`: from a name or a path to a stream of raw documents."""

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from maskwright.core.errors import UserError, nearest
from maskwright.core.paths import HUB_NAME, on_disk
from maskwright.corpora import columns, files, hub, labelled_folders, wikimedia
from maskwright.corpora.labels import Labelled, Tagged

_DUMP = re.compile(r"\.xml(\.bz2|\.gz)?$|pages-articles.*\.(bz2|gz)$")


@dataclass(frozen=True)
class Source:
    """Where documents come from, and how they are stored there.

    Args:
        source: a hub name; a folder in the hub's layout; a Wikimedia dump (.xml, .xml.bz2, .xml.gz);
            a file, folder or glob of .txt, .jsonl, .csv or .parquet; `pkg://package/path` for a file
            that an installed package contains.
        config: the configuration of a data set of the hub; None takes its default.
        column: the column that holds the text, in files with columns.
        document: what a document is in a .txt file, or in rows that hold less than one: `row` (a line,
            a row), `paragraph` (up to an empty line or row), `file`, `article` (up to the next heading
            ` = Title = `, as in WikiText).
        tags: the column of IOB tags beside a column of words, in data sets of the hub and in its layout; any name
            for plain files with a word per line.
        label: the column of labels, in files with columns.
        labels: the labels that may occur; None allows all.
    """

    source: str
    config: str | None
    column: str
    document: Literal["row", "paragraph", "file", "article"]
    tags: str | None = None
    label: str | None = None
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        known = ("row", "paragraph", "file", "article")
        if self.document not in known:
            raise UserError(
                f"data.document is '{self.document}'.{nearest(self.document, known)} "
                f"It is one of: {', '.join(known)}."
            )
        if self.tags is not None and self.label is not None:
            raise UserError("data.tags and data.label are both set; a text has tags for its words, or a label.")
        if self.label is not None and self.document != "row":
            raise UserError(f"data.label={self.label} labels rows; set data.document=row.")

    def find(self) -> tuple[str, list[Path]]:
        """Returns the kind of source, and its files.

        A kind is `dump`, `files`, `columns` (of tagged words), `tree` (see `labelled_folders`), `folder` (hub
        layout) or `hub` (no files).

        Raises:
            UserError: the source does not exist.
        """
        source = on_disk(self.source, "data.source")
        path = Path(source).expanduser()
        if path.is_file():
            return self._kind([path]), [path]
        if path.is_dir():
            return _folder(path, self.tags is not None)
        if glob.has_magic(source):
            paths = sorted(Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file())
            if not paths:
                raise UserError(f"data.source='{source}' matches no file.")
            return self._kind(paths), paths
        if not HUB_NAME.fullmatch(source) or path.suffix in files.READERS or _DUMP.search(path.name):
            beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            raise UserError(f"data.source='{source}' does not exist.{nearest(path.name, beside)}")
        return "hub", []

    def identity(self) -> list[Any]:
        """Returns what the documents depend on, without reading them: for files their sizes and times of change."""
        kind, paths = self.find()
        stamps = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
        where = self.source if kind == "hub" else stamps
        # without `labels`: they only refuse other labels, which is done again where documents are read from disk
        return [kind, where, self.config, self.column, self.document, self.tags, self.label]

    def read(self, split: str) -> Iterator[str | Labelled | Tagged]:
        """Yields the raw documents of one split of the source.

        A dump has the single split `train`, and so do files, unless their names say which split they belong to.

        Raises:
            UserError: the source cannot be read as what it seems to be.
        """
        kind, paths = self.find()
        keys = {"data.column": self.column, "data.label": self.label, "data.tags": self.tags}
        named = {key: column for key, column in keys.items() if column is not None}
        if kind in ("hub", "folder"):
            rows = hub.read(self.source, self.config, split, named, self.labels)
            yield from rows if len(named) > 1 else files.documents(rows, self.document)  # type: ignore[arg-type]
            return
        if kind == "tree":
            for text in labelled_folders.read(paths[0], split, None if self.label is None else self.labels):
                yield text.text if self.label is None else text
            return
        if self.tags is not None and kind != "columns":
            raise UserError(
                f"data.tags={self.tags}: tagged words are read from data sets of the hub, in its layout, or "
                f"in columns ({', '.join(columns.ENDINGS)}), but data.source='{self.source}' is none of these. Set "
                "data.tags=null."
            )
        for path in _of_split(paths, split, self.source):
            if kind == "dump":
                yield from wikimedia.read(path)
            elif kind == "columns":
                yield from columns.read(path, self.labels)
            else:
                yield from files.read(path, self.column, self.document, self.label, self.labels)

    def splits(self) -> set[str]:
        """Returns the splits that `read` accepts; an empty set if the hub does not name them.

        Raises:
            UserError: the source does not exist, or is damaged.
        """
        kind, paths = self.find()
        if kind in ("hub", "folder"):
            return hub.splits(self.source, self.config)
        return labelled_folders.splits(paths[0]) if kind == "tree" else set(_by_split(paths))

    def _kind(self, paths: list[Path]) -> str:
        if all(_DUMP.search(path.name) for path in paths):
            return "dump"
        if all(map(labelled_folders.is_archive, paths)):
            return "tree"
        readable = any(path.suffix.lower() in files.READERS.keys() - {".txt"} for path in paths)
        return "files" if self.tags is None or readable else "columns"


_SPLIT_NAMES = {  # words in the names of the files of each split
    "train": ("train",),
    "validation": ("validation", "valid", "dev", "testa"),
    "test": ("test", "testb"),
}


def _by_split(paths: list[Path]) -> dict[str, list[Path]]:
    """Returns the files of each split by what their names say; all are of `train` where some names say nothing."""
    by_split: dict[str, list[Path]] = {}
    for path in paths:
        words = re.split(r"[^a-z]+", path.name.lower())
        found = next((name for name, spelled in _SPLIT_NAMES.items() if set(words) & set(spelled)), "")
        by_split.setdefault(found, []).append(path)
    return by_split if "" not in by_split and "train" in by_split else {"train": paths}


def _of_split(paths: list[Path], split: str, source: str) -> list[Path]:
    by_split = _by_split(paths)
    if split not in by_split:
        raise UserError(
            f"data.splits takes the split '{split}' of data.source='{source}', whose files hold "
            f"{', '.join(by_split)}: they have splits where all their names say so (train.csv, validation.csv, "
            "test.csv). Give shares instead: data.splits.validation=0.05 data.splits.test=0.05"
        )
    return by_split[split]


def _folder(folder: Path, tagged: bool) -> tuple[str, list[Path]]:
    if labelled_folders.holds_labels(folder):
        return "tree", [folder, *sorted(folder.glob("*/*/"))]  # a folder's time changes with what it holds
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    readable = [p for p in paths if p.suffix.lower() in files.READERS]
    card = folder / "README.md"  # that of a data set of the hub opens with its configurations
    if any(p.suffix == ".parquet" for p in readable) or (card.is_file() and card.read_bytes().startswith(b"---")):
        return "folder", paths
    in_columns = [p for p in paths if p.name.endswith(columns.ENDINGS) or p.suffix == ".txt"]
    if tagged and in_columns and not [p for p in readable if p.suffix != ".txt"]:
        return "columns", in_columns
    dumps = [p for p in paths if _DUMP.search(p.name)]
    if dumps and not readable:
        return "dump", dumps
    if not readable:
        raise UserError(
            f"data.source='{folder}' is a folder without {', '.join(files.READERS)} files. "
            "Name a folder that holds some, or one in the hub's layout."
        )
    return "files", readable
