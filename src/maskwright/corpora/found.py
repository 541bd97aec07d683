"""What `data.source` names on this disk: a kind of source, and its files."""

import glob
import re
from pathlib import Path
from typing import NamedTuple

from maskwright.core.errors import UserError, nearest
from maskwright.core.paths import HUB_NAME, on_disk
from maskwright.corpora import columns, hub, labelled_folders
from maskwright.corpora.decoding import ending
from maskwright.corpora.listing import expand, fixed_part, is_about, matching, walk
from maskwright.corpora.tables import READERS, is_readable

# parts are called pages-articles1.xml-p1p41242.bz2; what is called multistream-index lists where pages are
_DUMP = re.compile(r"^(?!.*multistream-index).*(?:\.xml(\.bz2|\.gz)?|pages-articles.*\.(bz2|gz))$")
_LISTS = {".jsonl", ".ndjson", ".json", ".parquet"}  # formats whose rows can hold lists of words


class Found(NamedTuple):
    """What a name stands for.

    Attributes:
        kind: `dump`, `files`, `columns` (of tagged words), `tree` (see `labelled_folders`), `folder` (in the hub's
            layout, or whatever else `datasets` reads), `saved` (by `save_to_disk`) or `hub` (no files).
        files: each with the folder that was searched for it; None where the file itself was named.
        place: the folder or archive itself, where the kind is not read file by file.
        unread: files of a folder that are of no known kind.
    """

    kind: str
    files: dict[Path, Path | None]
    place: Path | None = None
    unread: tuple[Path, ...] = ()


def find(source: str | tuple[str, ...], tagged: bool, config: str | None, encoding: str | None = None) -> Found:
    """Returns what a name stands for, or several names, or one with braces.

    Args:
        tagged: whether tagged words are looked for.
        config: the configuration that is asked for, which files do not have.
        encoding: of the files; see `Format`.
    Raises:
        UserError: there is no such source, or the names stand for different kinds of sources.
    """
    names = [name for given in ([source] if isinstance(source, str) else source) for name in expand(given)]
    if not names:
        raise UserError("data.source=[] names nothing.")
    found = [_find(name, tagged, config, encoding) for name in names]
    if len(found) == 1:
        return found[0]
    kinds = list(dict.fromkeys(own.kind for own in found))
    if len(kinds) > 1 or found[0].place is not None or kinds == ["hub"]:
        raise UserError(
            f"data.source names {len(found)} places ({', '.join(names)}), but only files of one kind are read as "
            "one source. Give each place a name of its own: data.sources, as in data=mixture."
        )
    files = {path: root for own in found for path, root in own.files.items()}
    return Found(kinds[0], files, None, tuple(path for own in found for path in own.unread))


def _find(name: str, tagged: bool, config: str | None, encoding: str | None) -> Found:
    source = on_disk(name, "data.source")
    path = Path(source).expanduser()
    try:
        if path.is_file():
            return _files({path: None}, tagged)
        if path.is_dir():
            return _folder(path, tagged, config, encoding)
        if glob.has_magic(source):
            paths = matching(str(path))
            if not paths:
                raise UserError(f"data.source='{source}' matches no file.")
            root = fixed_part(str(path))
            known = [p for p in paths if _is_known(p)] or paths
            known = [p for p in known if _is_part(p)] or known
            return _files(dict.fromkeys(known, root), tagged, tuple(p for p in paths if p not in known))
        if not HUB_NAME.fullmatch(source) or is_readable(path) or _DUMP.search(path.name):
            beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            several = " Several are a list: data.source=[a.csv,b.csv]" if "," in source else ""
            raise UserError(f"data.source='{source}' does not exist.{nearest(path.name, beside)}{several}")
    except PermissionError as error:
        raise UserError(f"data.source='{name}' may not be read by this user: {error}.") from error
    return Found("hub", {})


def holds_lists(path: Path) -> bool:
    """Whether the rows of a file can hold lists of words, by its name."""
    return ending(path) in _LISTS


def _is_part(path: Path) -> bool:
    """Whether a file is a dump or a part of one, so that the others beside it describe it."""
    return ".xml" in path.name and bool(_DUMP.search(path.name))


def _is_known(path: Path) -> bool:
    return is_readable(path) or bool(_DUMP.search(path.name)) or ending(path) in columns.ENDINGS


def _files(files: dict[Path, Path | None], tagged: bool, unread: tuple[Path, ...] = ()) -> Found:
    if all(_DUMP.search(path.name) for path in files):
        return Found("dump", files, None, unread)
    if all(map(labelled_folders.is_archive, files)):
        if len(files) > 1:
            raise UserError(f"data.source names {len(files)} archives, and one is read: name one of them.")
        return Found("tree", files, next(iter(files)), unread)
    in_rows = any(ending(path) in READERS.keys() - {*columns.ALSO} for path in files)
    return Found("files" if not tagged or in_rows else "columns", files, None, unread)


def _folder(folder: Path, tagged: bool, config: str | None, encoding: str | None) -> Found:
    if hub.is_saved(folder):
        return Found("saved", dict.fromkeys(walk(folder), folder), folder)
    card = folder / "README.md"  # that of a data set of the hub opens with its configurations
    in_layout = card.is_file() and card.read_bytes().startswith(b"---")
    if config is not None and not in_layout and (folder / config).is_dir():  # one for each configuration
        return _folder(folder / config, tagged, None, encoding)
    if not in_layout and (tree := labelled_folders.tree_in(folder)):
        return Found("tree", dict.fromkeys(labelled_folders.texts(tree), tree), tree)
    everything = list(walk(folder))
    paths = [path for path in everything if path.is_file()]
    readable = [path for path in paths if is_readable(path)]
    in_rows = any(ending(path) not in columns.ALSO for path in readable)
    if tagged and not in_rows and (in_columns := columns.among(paths, encoding)):
        return _files(dict.fromkeys(in_columns, folder), tagged, _others(everything, in_columns))
    if in_layout or (config is not None and any(path.suffix == ".parquet" for path in paths)):
        return Found("folder", dict.fromkeys(paths, folder), folder)
    readable = [path for path in readable if ending(path) != ".json"] or readable  # beside others it describes them
    if dumps := [path for path in paths if _is_part(path)]:
        readable = dumps  # other files describe them
    if not readable and not paths:
        raise UserError(
            f"data.source='{folder}' is a folder without {', '.join(READERS)} files. "
            "Name a folder that holds some, or one in the hub's layout."
        )
    if not readable:
        return Found("folder", dict.fromkeys(paths, folder), folder)
    return _files(dict.fromkeys(readable, folder), tagged, _others(everything, readable))


def _others(everything: list[Path], chosen: list[Path]) -> tuple[Path, ...]:
    taken = {*chosen}
    return tuple(path for path in everything if path not in taken and not is_about(path))
