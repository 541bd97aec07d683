"""Texts in folders `<split>/<label>/*.txt`, or in a tarball of such folders, as the original `aclImdb`."""

import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from maskwright.core.errors import UserError
from maskwright.corpora.decoding import decode, unreadable
from maskwright.corpora.labels import ANY, Labelled, Spelling, label_of
from maskwright.corpora.listing import OTHER, is_about, no_split, split_among, split_named, walk

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2")
UNLABELLED = "unsup"  # the folder of texts without labels, which are the split `unsupervised`
_OF_IMDB = re.compile(r"urls_\w+\.txt|imdbEr\.txt|imdb\.vocab|\w+Bow\.feat")  # beside the texts of aclImdb


def tree_in(folder: Path) -> Path | None:
    """Returns the folder that holds folders of splits, with folders of labels in them, with texts in those.

    That is the folder itself, or one that it wraps and that is alone in it; None if there is none.
    """
    inside = [path for path in folder.iterdir() if not path.name.startswith(".") and not is_about(path)]
    splits = [path for path in inside if split_named(path.name) and path.is_dir()]
    if any(_place(path.relative_to(folder).parts) for split in splits for path in walk(split)):
        return folder
    return tree_in(inside[0]) if len(inside) == 1 and not splits and inside[0].is_dir() else None


def texts(tree: Path) -> list[Path]:
    """Returns the files of the texts of a tree, in the order of their names."""
    return [path for path in sorted(walk(tree)) if _place(path.relative_to(tree).parts) and path.is_file()]


def is_archive(path: Path) -> bool:
    """Whether a file is a tarball, by its name."""
    return path.name.endswith(ARCHIVES)


def read(path: Path, split: str, spelling: Spelling = ANY, encoding: str | None = None) -> Iterator[Labelled]:
    """Yields the texts of one split: `train`, `test` and so on, or `unsupervised`, which is `train/unsup`.

    A label is the name of a folder in that of a split; folders in it may divide its texts further. A folder is read
    in the order of its names, an archive in the order of its members.

    Args:
        encoding: of the texts; None takes what a byte-order mark says, else UTF-8.
    Raises:
        UserError: there is no such split, the archive is damaged, or a text is in another encoding or has another
            label.
    """
    found: set[str] = set()
    empty = True
    for parts, place, content in _members(path, split):
        if place is None:
            continue
        found.add(place.split)
        if content is None:
            continue
        empty = False
        where = f"{path}: {'/'.join(parts)}"
        label = None if place.label == UNLABELLED else label_of(place.label, None, where, spelling)
        yield Labelled(decode(content, where, encoding), label)
    if empty:
        raise UserError(no_split(split, found, str(path)))


def listed(path: Path) -> dict[str | None, list[str]]:
    """Returns the names of the texts of each split that `read` can be asked for; of None those of all other files.

    Raises:
        UserError: the archive is damaged.
    """
    found: dict[str | None, list[str]] = {}
    for parts, place, _ in _members(path, None):
        name = parts[-1]
        if place or not (_is_hidden(parts) or is_about(Path(name)) or _OF_IMDB.fullmatch(name)):
            found.setdefault(place.split if place else None, []).append(name)
    return found


class _Place(NamedTuple):
    split: str
    label: str


def _place(parts: tuple[str, ...]) -> _Place | None:
    """Returns the split and the label of a text, by its name and those of its folders; None if it has no label.

    Where no folder says a split, it is `OTHER`, and the label the last of two folders or more.
    """
    *folders, name = parts
    place = _place_of(tuple(folders)) if name.endswith(".txt") and not name.startswith(".") else None
    if place is None or place.label == UNLABELLED or split_named(name) is None:
        return place
    return _Place(split_among(parts) or OTHER, place.label)


@lru_cache(maxsize=1024)
def _place_of(folders: tuple[str, ...]) -> _Place | None:
    """Returns the place of texts in a folder, as far as their own names do not say another split."""
    saying = [number for number, folder in enumerate(folders) if split_named(folder)]
    labels = [folders[number + 1] for number in saying if number + 1 < len(folders)]
    if _is_hidden(folders) or (not labels and (saying or len(folders) < 2)):
        return None
    label = labels[-1] if labels else folders[-1]
    return _Place("unsupervised" if label == UNLABELLED else split_among(folders) or OTHER, label)


def _is_hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") for part in parts)


def _members(path: Path, split: str | None) -> Iterator[tuple[tuple[str, ...], _Place | None, bytes | None]]:
    """Yields of each file in a folder or archive its path, its place, and its bytes if it is of `split`."""

    def is_asked(place: _Place | None) -> bool:
        return place is not None and place.split == split

    if path.is_dir():
        for file in sorted(walk(path)):
            parts = file.relative_to(path).parts
            place = _place(parts)
            try:
                yield parts, place, file.read_bytes() if is_asked(place) else None
            except OSError as error:
                raise unreadable(file, error) from error
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if not member.isfile():
                    continue
                parts = PurePosixPath(member.name).parts
                place = _place(parts)
                content = archive.extractfile(member) if is_asked(place) else None
                yield parts, place, None if content is None else content.read()
            _check_end(archive)
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"data.source='{path}' is no archive that can be read to its end: {error}.") from error


def _check_end(archive: tarfile.TarFile) -> None:
    """Refuses an archive that was not read to its end: `tarfile` takes any unreadable header for the end.

    Raises:
        ReadError: there is no empty block where reading stopped. Compressed archives raise errors of their own.
    """
    file = archive.fileobj
    assert file is not None
    file.seek(archive.offset)
    if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError(f"it is damaged at byte {archive.offset:,} of its contents")
    while file.read(1 << 20):  # the checksum is compared at the very end
        pass
