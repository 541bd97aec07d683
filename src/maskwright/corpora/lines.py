"""Lines of text in UTF-8, from a file or a stream."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from maskwright.core.errors import UserError
from maskwright.corpora.decoding import UNREADABLE, open_bytes


def lines_of(path: Path, key: str) -> Iterator[str]:
    """Yields the lines of a file in UTF-8, without their ends.

    Args:
        key: the config key that names the file, for messages.
    Raises:
        UserError: it cannot be read.
    """
    if not path.is_file():
        raise UserError(f"{key}={path} {'is no file' if path.exists() else 'does not exist'}.")
    try:
        with open_bytes(path) as file:
            yield from decoded(file, f"{key}={path}")
    except UNREADABLE as error:
        raise UserError(f"{key}={path} cannot be read: {error}") from error


def decoded(lines: Iterable[bytes | str], name: str) -> Iterator[str]:
    """Yields lines as text, without their ends.

    Raises:
        UserError: a line is not in UTF-8.
    """
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8") if isinstance(line, bytes) else line
        except UnicodeDecodeError as error:
            raise UserError(
                f"{name}, line {number}: the byte {error.start + 1} is not UTF-8. Convert it, as by iconv."
            ) from None
        yield text.removeprefix("\ufeff" if number == 1 else "").rstrip("\r\n")
