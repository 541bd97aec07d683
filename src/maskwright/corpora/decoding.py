"""Opens files of text, whatever compresses them and whatever their characters are encoded in."""

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import pyarrow

from maskwright.core.errors import UserError

_MARKS = (  # byte-order marks; that of UTF-16 begins that of UTF-32
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 1 << 18  # bytes that an encoding is guessed from
_FEW = 16  # bytes that are not ASCII, which say little


def _zip(path: Path) -> BinaryIO:
    archive = zipfile.ZipFile(path)
    inside = [name for name in archive.namelist() if not name.startswith("__MACOSX/") and not name.endswith("/")]
    if len(inside) != 1:
        listed = ", ".join(inside[:3]) + ", …" * (len(inside) > 3)
        raise UserError(f"{path} holds {len(inside)} files ({listed}), not one. Unpack it, and name one of them.")
    if archive.getinfo(inside[0]).flag_bits & 1:
        raise UserError(f"{path} is encrypted. Unpack it, and name the file inside.")
    return archive.open(inside[0])  # type: ignore[return-value]


_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    # refuses a stream that is cut, and reads all frames of one
    ".zst": lambda path: io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd")),
    ".zip": _zip,
}
COMPRESSED = tuple(_OPENERS)
# what is raised where a file cannot be opened, or its compression is damaged
UNREADABLE = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pyarrow.ArrowException)


def ending(path: Path) -> str:
    """Returns the extension of a file in lower case, without that of a compression: `.csv` of `A.CSV.gz`."""
    inner = path.with_suffix("") if path.suffix.lower() in _OPENERS else path
    return inner.suffix.lower()


def open_bytes(path: Path) -> BinaryIO:
    """Returns the contents of a file as a stream, decompressed on the way if its name ends like a compression."""
    opener = _OPENERS.get(path.suffix.lower())
    return open(path, "rb") if opener is None else opener(path)


@contextmanager
def open_text(
    path: Path, encoding: str | None = None, newline: str | None = None, errors: str = "strict"
) -> Iterator[TextIO]:
    """Opens a file as text.

    Args:
        encoding: None takes what a byte-order mark says, else UTF-8.
        newline, errors: as in `open`.
    Raises:
        UserError: also while the text is read: the file cannot be opened, its compression is damaged, or it is not
            in that encoding.
    """
    try:
        with _as_text(partial(open_bytes, path), str(path), encoding, newline, errors) as file:
            yield file
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def decode(content: bytes, where: str, encoding: str | None = None) -> str:
    """Returns the contents of a file as text.

    Args:
        where: names the file in messages.
        encoding: None takes what a byte-order mark says, else UTF-8.
    Raises:
        UserError: it is not in that encoding.
    """
    with _as_text(partial(io.BytesIO, content), where, encoding, newline="") as file:
        return file.read()


@contextmanager
def _as_text(
    opened: Callable[[], BinaryIO], where: str, encoding: str | None, newline: str | None, errors: str = "strict"
) -> Iterator[TextIO]:
    """Yields the text of a file; see `open_text`.

    Args:
        opened: returns the bytes of the file, from its beginning.
    """
    if encoding is not None and not _is_known(encoding):
        raise UserError(f"data.encoding={encoding} is no encoding that Python knows, such as utf-16 or cp1252.")
    encoding = encoding or _marked(opened) or "utf-8"
    try:
        with io.TextIOWrapper(opened(), encoding, errors, newline) as file:
            yield file
    except UnicodeError:
        raise _undecodable(opened, where, encoding) from None


def unreadable(path: Path | str, error: Exception) -> UserError:
    """Returns what it means that a file or folder cannot be read."""
    if isinstance(error, PermissionError):
        return UserError(f"data.source: {path} may not be read by this user: {error.strerror}.")
    return UserError(f"data.source: {path} cannot be read to its end: {error}.")


def _is_known(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding)._is_text_encoding
    except (LookupError, ValueError):
        return False


def _marked(opened: Callable[[], BinaryIO]) -> str | None:
    with opened() as file:
        head = file.read(4)
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)


def _undecodable(opened: Callable[[], BinaryIO], where: str, encoding: str) -> UserError:
    """Returns an error that says where a file stops to be in an encoding, and in which one it may be."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset, sample = 0, b""
    with opened() as file:
        while chunk := file.read(_SAMPLE):
            held = len(decoder.getstate()[0])  # bytes of a character that the chunk before cut
            sample = chunk
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                offset += error.start - held
                break
            except UnicodeError:
                break
            offset += len(chunk)
    name = "UTF-8" if encoding in ("utf-8", "utf-8-sig") else encoding
    said = f"{where} is not {name}: the byte at offset {offset} starts no character."
    guess = _guess(sample)
    if guess is None:
        return UserError(f"{said} Set data.encoding to what it is, such as cp1252 or utf-16.")
    return UserError(f"{said} It looks like {guess}: data.encoding={guess}")


def _guess(sample: bytes) -> str | None:
    """Returns the encoding that these bytes are most likely in."""
    import charset_normalizer

    nuls = sample.count(0)
    if nuls > len(sample) // 4:  # a mark is missing
        return "utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be"
    # white space at the ends says nothing, and lines without other than ASCII bytes are right in most encodings
    lines = [line for line in sample.splitlines(keepends=True) if not line.isascii()]
    if sum(byte > 127 for line in lines for byte in line) < _FEW:
        return None
    best = charset_normalizer.from_bytes(b"".join(lines[:2000])).best()
    return None if best is None or best.encoding in ("utf_8", "ascii") else best.encoding.replace("_", "-")
