"""Texts in folders `<split>/<label>/*.txt`, or in a tarball of such folders, as the original `aclImdb`."""

import lzma
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from maskwright.core.errors import UserError
from maskwright.corpora.decoding import unreadable
from maskwright.corpora.labels import Labelled, label_of
from maskwright.corpora.listing import no_split, split_named

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2")
UNLABELLED = "unsup"  # the folder of texts without labels, which are the split `unsupervised`


def holds_labels(folder: Path) -> bool:
    """Whether a folder holds folders of splits, with folders of labels in them, with texts in those."""
    inside = (path for path in folder.iterdir() if split_named(path.name) and path.is_dir())
    return any(next(path.glob("[!.]*/[!.]*.txt"), None) is not None for path in inside)


def texts(folder: Path) -> list[Path]:
    """Returns the files of the texts in a folder that holds labels, in the order of their names."""
    return sorted(folder.glob("[!.]*/[!.]*/[!.]*.txt"))


def is_archive(path: Path) -> bool:
    """Whether a file is a tarball, by its name."""
    return path.name.endswith(ARCHIVES)


def read(
    path: Path,
    split: str,
    labels: Sequence[str] | None = None,
    label_names: Mapping[str, str] | None = None,
    encoding: str | None = None,
) -> Iterator[Labelled]:
    """Yields the texts of one split: `train`, `test` and so on, or `unsupervised`, which is `train/unsup`.

    A folder is read in the order of its names, an archive in the order of its members.

    Args:
        labels, label_names, encoding: see `Source`.
    Raises:
        UserError: there is no such split, the archive is damaged, or a text is not UTF-8 or has another label.
    """
    found: set[str] = set()
    empty = True
    for name, content in _members(path, split):
        taken, label = _place(name)
        found.add(taken)
        if content is None:
            continue
        empty = False
        try:
            spelled = None if label == UNLABELLED else label_of(label, None, labels, f"{path}: {name}", label_names)
            yield Labelled(content.decode(encoding or "utf-8-sig"), spelled)
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}: {name} is not {encoding or 'UTF-8'}: the byte at {error.start} starts no character. Set "
                "data.encoding to what it is, such as cp1252."
            ) from None
        except LookupError:
            raise UserError(f"data.encoding={encoding} is no encoding that Python knows.") from None
    if empty:
        raise UserError(no_split(split, found, str(path)))


def splits(path: Path) -> set[str]:
    """Returns the splits that `read` can be asked for.

    Raises:
        UserError: the archive is damaged.
    """
    return {_place(name)[0] for name, _ in _members(path, None)}


def _place(name: str) -> tuple[str, str]:
    """Returns the split and the label of a text, by its path."""
    *_, folder, label, _ = ("", *PurePosixPath(name).parts[-3:])
    return "unsupervised" if label == UNLABELLED else split_named(folder) or folder, label


def _members(path: Path, split: str | None) -> Iterator[tuple[str, bytes | None]]:
    """Yields the path of each text, from the folder of its split or above, and the bytes of those of `split`."""
    if path.is_dir():
        for file in texts(path):
            inside = file.relative_to(path).as_posix()
            try:
                yield inside, file.read_bytes() if _place(inside)[0] == split else None
            except OSError as error:
                raise unreadable(file, error) from error
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                # an archive also holds lists of addresses, and files that a Mac adds
                if (
                    member.isfile()
                    and name.suffix == ".txt"
                    and len(name.parts) >= 3
                    and not any(part.startswith(".") for part in name.parts[-3:])
                ):
                    content = archive.extractfile(member)
                    assert content is not None
                    yield member.name, content.read() if _place(member.name)[0] == split else None
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
