"""Texts and their translations in two files, whose lines of the same number belong together, as OPUS has them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from maskwright.core.errors import UserError
from maskwright.core.paths import on_disk
from maskwright.corpora.decoding import COMPRESSED, open_text
from maskwright.corpora.labels import Labelled
from maskwright.corpora.listing import expand, walk


class Aligned(NamedTuple):
    """Files of lines that belong together.

    Attributes:
        others: the file of the second texts, by that of the first ones.
        roots: each file with the folder that was searched for it; None where the file itself was named.
    """

    others: dict[Path, Path]
    roots: dict[Path, Path | None]


def find(source: str | Sequence[str], languages: Sequence[str | int]) -> Aligned | None:
    """Returns the files that a source names if their names end in the languages: corpus.en and corpus.de.

    `.txt` and the ending of a compression may follow: corpus.en.txt.gz. Files of other endings are not read.

    Args:
        languages: of the first texts and of the second ones.
    Returns:
        None if the source has no file of one of the two languages, or is not on this disk.
    Raises:
        UserError: a file of one language has none of the other beside it.
    """
    first, second = map(str, languages)
    roots: dict[Path, Path | None] = {}
    for name in [source] if isinstance(source, str) else source:
        for own in expand(name):
            path = Path(on_disk(own, "data.source")).expanduser()
            if path.is_dir():
                roots |= dict.fromkeys(walk(path), path)
            elif path.is_file():
                roots[path] = None
    found: dict[str, dict[Path, Path]] = {first: {}, second: {}}
    for path in roots:
        stem, language = _split(path)
        if language in found:
            found[language][stem] = path
    if not all(found.values()):
        return None
    for language, other in ((first, second), (second, first)):
        if alone := sorted(found[language].keys() - found[other].keys()):
            path = found[language][alone[0]]
            raise UserError(
                f"data.source has {path}, but no {alone[0].name}.{other} with its translations "
                f"(data.column=[{first},{second}])."
            )
    taken = {path for own in found.values() for path in own.values()}
    others = {path: found[second][stem] for stem, path in found[first].items()}
    return Aligned(others, {path: root for path, root in roots.items() if path in taken})


def read(path: Path, other: Path, encoding: str | None = None) -> Iterator[Labelled]:
    """Yields the lines of a file as first texts, and those of another file as the second ones.

    Raises:
        UserError: the files do not have the same number of lines, or are in another encoding.
    """
    counts = [sum(1 for _ in _lines(own, encoding)) for own in (path, other)]
    if counts[0] != counts[1]:
        shorter, longer = (path, other) if counts[0] < counts[1] else (other, path)
        line = next(text for number, text in enumerate(_lines(longer, encoding)) if number == min(counts))
        raise UserError(
            f"{path} has {counts[0]:,} lines, and {other} has {counts[1]:,}, but lines of the same number belong "
            f"together: line {min(counts) + 1:,} of {longer} ('{line:.60}') is the first without one in {shorter}."
        )
    for first, second in zip(_lines(path, encoding), _lines(other, encoding), strict=True):
        yield Labelled(first, None, second)


def _split(path: Path) -> tuple[Path, str]:
    """Returns the name of a file without its language and what follows that, and its language."""
    if path.suffix.lower() in COMPRESSED:
        path = path.with_suffix("")
    if path.suffix.lower() == ".txt":
        path = path.with_suffix("")
    return path.with_suffix(""), path.suffix.removeprefix(".")


def _lines(path: Path, encoding: str | None) -> Iterable[str]:
    # only ends of lines part lines: other characters that Python would cut at stand within a text
    with open_text(path, encoding, newline="\n") as file:
        for line in file:
            yield line.rstrip("\r\n")
