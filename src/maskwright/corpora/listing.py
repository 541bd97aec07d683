"""Which files a name stands for, and which split of the source each belongs to."""

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from maskwright.corpora.decoding import unreadable

SPLIT_NAMES = {  # words in the names of files and folders, as `datasets` knows them, and those of CoNLL-2003
    "validation": ("validation", "valid", "val", "dev", "testa"),
    "test": ("test", "testing", "testb", "eval", "evaluation"),
    "train": ("train", "training"),
}
OTHER = "other"  # the split of files that name none, where others do
# how data sets of the hub name files, whatever the split is called
_SHARD = re.compile(r"(\w+)-\d{5}-of-\d{5}\b.*")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_ABOUT = re.compile(
    r"(readme|licen[cs]e|copying|notice|citation|changelog|authors|dataset_infos?)\b.*", re.IGNORECASE
)


def split_named(name: str) -> str | None:
    """Returns the split that the name of a file or folder says; None if it says none.

    A name that says two, such as `train_test`, does not say train.
    """
    words = {*re.split(r"[\W\d_]+", name.lower())}
    return next((split for split, spelled in SPLIT_NAMES.items() if words & {*spelled}), None)


def split_among(names: Sequence[str]) -> str | None:
    """Returns the split that the names of folders and of a file in them say; None if they say none."""
    said = [split for name in reversed(names) if (split := split_named(name))]
    return next((split for split in said if split != "train"), said[0] if said else None)


def split_of_file(path: Path, root: Path | None) -> str | None:
    """Returns the split that the names of a file and of its folders say; None if they say none.

    Nothing below a folder that names validation or test is of train. Names nearer to the file come first.

    Args:
        root: the folder that was searched, whose own name counts if it is that of a split and nothing else; None
            if the file itself was named.
    """
    if root is None:
        return split_named(path.name)
    if split := split_among(path.relative_to(root).parts):
        return split
    name = root.resolve().name.lower()
    return next((split for split, spelled in SPLIT_NAMES.items() if name in spelled), None)


def is_about(path: Path) -> bool:
    """Whether a file describes the others of its folder and holds no data, by its name."""
    return bool(_ABOUT.fullmatch(path.name))


def by_split(files: dict[Path, str | None]) -> dict[str, list[Path]]:
    """Returns the files of each split; all are of `train` where none says a split, else those are `OTHER`.

    Args:
        files: each with the split that its names say.
    """
    if not any(files.values()):
        return {"train": _once(files)}
    found: dict[str, list[Path]] = {}
    for path, split in files.items():
        shard = _SHARD.fullmatch(path.name) if split is None and "train" in files.values() else None
        found.setdefault(split or (shard[1] if shard else OTHER), []).append(path)
    for split in ("validation", "test"):
        named = {path: own[1] for path in found.get(split, ()) if (own := _SHARD.fullmatch(path.name))}
        if len({*named.values()}) > 1:  # validation_matched and validation_mismatched are splits of their own
            for path, name in named.items():
                found[split].remove(path)
                found.setdefault(name, []).append(path)
    found = {split: paths for split, paths in found.items() if paths}
    return {split: _once(paths) for split, paths in found.items()}


def no_split(split: str, held: Iterable[str], source: str) -> str:
    """Returns the message for a split that a source does not have: one sentence for all kinds of sources."""
    held = sorted(held)
    said = f"data.source='{source}' has no split '{split}' (data.splits); it has {', '.join(held) or 'none'}."
    meant = split_named(split)
    if meant in held:
        return f"{said} Splits have one name, whatever files are called: {meant} instead of {split}."
    if split != "train":
        return f"{said} Name one of these, or a share of what is trained on: data.splits.{split}=0.05"
    named = "+".join(held)
    return (
        f"{said} What is called {' or '.join(held)} is trained on only where you say so: data.splits.train={named}"
        + (f" (or one of these). '{OTHER}' are the files whose names say no split." if OTHER in held else "")
    )


def _once(paths: Iterable[Path]) -> list[Path]:
    """Returns files without those that are links to others among them."""
    return list({path.resolve(): path for path in reversed(list(paths))}.values())[::-1]


def walk(folder: Path) -> Iterator[Path]:
    """Yields the files below a folder and in folders that it links to, each folder once; none that is hidden.

    Raises:
        UserError: a folder may not be read.
    """

    def refuse(error: OSError) -> None:
        raise unreadable(error.filename, error) from error

    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(names) if not name.startswith("."))


def matching(pattern: str) -> list[Path]:
    """Returns the files that a glob matches, in order, each once."""
    return sorted(_once(Path(p) for p in sorted(glob.glob(pattern, recursive=True)) if Path(p).is_file()))


def fixed_part(pattern: str) -> Path:
    """Returns the folder that a glob searches: what comes before its first wildcard."""
    parts: list[str] = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def expand(name: str) -> list[str]:
    """Returns the names that braces stand for, as in a shell: `{a,b}.csv` is `a.csv` and `b.csv`."""
    match = _BRACES.search(name)
    if match is None or os.path.lexists(os.path.expanduser(name)):
        return [name]
    before, after = name[: match.start()], name[match.end() :]
    found = (name for inner in match[1].split(",") for name in expand(f"{before}{inner.strip()}{after}"))
    return list(dict.fromkeys(found))


def at(folder: str, name: str) -> str:
    """Returns a relative path of files in a folder as an absolute one.

    A name for which the folder holds no file, such as one of the hub, stays as it is.
    """
    moved = os.path.join(folder, name)  # an absolute name stays
    there = name and any(os.path.exists(own) or matching(own) for own in expand(moved))
    return moved if there else name
