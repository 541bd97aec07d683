"""`data.source`: from a name or a path to a stream of raw documents."""

import glob
import importlib.resources
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from maskwright.data import files, hub, wikimedia
from maskwright.data.tagged import Tagged
from maskwright.errors import UserError, nearest

PACKAGE = "pkg://"  # a file inside an installed package, as in Hydra's search path
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_DUMP = re.compile(r"\.xml(\.bz2|\.gz)?$|pages-articles.*\.(bz2|gz)$")


@dataclass(frozen=True)
class Source:
    """Where documents come from, and how they stand there.

    Args:
        source: a hub name; a folder in the hub's layout; a Wikimedia dump (.xml, .xml.bz2, .xml.gz);
            a file, folder or glob of .txt, .jsonl, .csv or .parquet; `pkg://package/path` for a file
            that an installed package ships.
        config: the configuration of a hub data set; None takes its default.
        column: the column that holds the text, where there are columns.
        document: what a document is in a .txt file, or in rows that hold less than one: `row` (a line,
            a row), `paragraph` (up to an empty line or row), `file`, `article` (up to the next heading
            ` = Title = `, as in WikiText).
        tags: the column of IOB tags beside a column of words, in data sets of the hub and in its layout.
    """

    source: str
    config: str | None
    column: str
    document: Literal["row", "paragraph", "file", "article"]
    tags: str | None = None

    def __post_init__(self) -> None:
        known = ("row", "paragraph", "file", "article")
        if self.document not in known:
            raise UserError(
                f"data.document is '{self.document}'.{nearest(self.document, known)} "
                f"It is one of: {', '.join(known)}."
            )

    def find(self) -> tuple[str, list[Path]]:
        """The kind of source, and its files: `dump`, `files`, `folder` (hub layout) or `hub` (no files).

        Raises:
            UserError: nothing is there.
        """
        source = self.source
        if source.startswith(PACKAGE):
            source = _packaged(source)
        path = Path(source).expanduser()
        if path.is_file():
            return ("dump" if _DUMP.search(path.name) else "files"), [path]
        if path.is_dir():
            return _folder(path)
        if glob.has_magic(source):
            paths = sorted(Path(p) for p in glob.glob(str(path), recursive=True) if Path(p).is_file())
            if not paths:
                raise UserError(f"data.source='{source}' matches no file.")
            return ("dump" if all(_DUMP.search(p.name) for p in paths) else "files"), paths
        if not _HUB_NAME.fullmatch(source) or path.suffix in files.READERS or _DUMP.search(path.name):
            beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            raise UserError(f"data.source='{source}' does not exist.{nearest(path.name, beside)}")
        return "hub", []

    def identity(self) -> list[Any]:
        """What the documents depend on, without reading them: for files their sizes and times of change."""
        kind, paths = self.find()
        stamps = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
        return [kind, self.source if kind == "hub" else stamps, self.config, self.column, self.document, self.tags]

    def read(self, split: str) -> Iterator[str | Tagged]:
        """The raw documents of one split of the source; dumps and files have the one split `train`.

        Raises:
            UserError: the source cannot be read as what it seems to be.
        """
        kind, paths = self.find()
        if kind in ("hub", "folder"):
            rows = hub.read(self.source, self.config, split, self.column, self.tags)
            yield from rows if self.tags is not None else files.documents(rows, self.document)  # type: ignore[arg-type]
            return
        if self.tags is not None:
            raise UserError(
                f"data.tags={self.tags}: tagged words are read from data sets of the hub or in its layout, and "
                f"data.source='{self.source}' is none. Set data.tags=null."
            )
        if split != "train":
            raise UserError(
                f"data.splits takes the split '{split}' of data.source='{self.source}', which has none: "
                "it is a file. Give shares instead: data.splits.validation=0.05 data.splits.test=0.05"
            )
        for path in paths:
            if kind == "dump":
                yield from wikimedia.read(path)
            else:
                yield from files.read(path, self.column, self.document)


def _packaged(source: str) -> str:
    package, _, inside = source.removeprefix(PACKAGE).partition("/")
    try:
        path = importlib.resources.files(package) / inside
    except ModuleNotFoundError:
        raise UserError(f"data.source='{source}': the package '{package}' is not installed.") from None
    if not path.is_file():
        raise UserError(f"data.source='{source}': the package '{package}' ships no such file.")
    return str(path)


def _folder(folder: Path) -> tuple[str, list[Path]]:
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    readable = [p for p in paths if p.suffix.lower() in files.READERS]
    card = folder / "README.md"  # of a data set of the hub, which opens with its configurations
    if any(p.suffix == ".parquet" for p in readable) or (card.is_file() and card.read_bytes().startswith(b"---")):
        return "folder", paths
    if not readable:
        raise UserError(
            f"data.source='{folder}' is a folder without {', '.join(files.READERS)} files. "
            "Name a folder that holds some, or one in the hub's layout."
        )
    return "files", readable
