"""Folders and files that are either complete or absent."""

import hashlib
import json
import multiprocessing
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from maskwright.core.errors import UserError, is_disk_full
from maskwright.core.terminal import console

_MANIFEST = "files.json"  # in each folder: the sizes and digests of the others
_PATIENCE = 2  # seconds that a process waits for another before it says so
_TEMPORARY = re.compile(r"\..+-\d+")  # the file that `write_file` writes first, with the number of its process
_SAMPLE = 1 << 16  # bytes of the beginning and of the end of a file that are compared


def fingerprint(settings: Any) -> str:
    """Returns 16 hexadecimal digits that differ where the settings (plain containers) differ."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def write_once(folder: Path, write: Callable[[Path], None]) -> Path:
    """Returns `folder`, after filling it with `write(temporary folder)` if it does not exist yet.

    The folder appears under its name only when it is complete and on disk: a process that is killed half-way
    leaves nothing that a later one would trust. Processes that need the same folder wait for the first. A folder
    whose files are no longer what was written, by their sizes, beginnings and ends, is made anew.

    Raises:
        UserError: the device has no space left, or the folder may not be written.
        RuntimeError: a worker process imports the script that started it, and the script asks for the folder again.
            The worker would wait for its parent, which waits for the worker.
    """
    if is_whole(folder):
        return folder
    refuse_import()
    try:
        with _locked(folder):
            if is_whole(folder):
                return folder
            if folder.exists():
                console().print(f"note: {folder} is damaged, and is made anew")
                shutil.rmtree(folder)
            for left_over in folder.parent.glob(f".{folder.name}-*"):
                shutil.rmtree(left_over)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            try:
                write(temporary)
                (temporary / _MANIFEST).write_text(json.dumps(_contents(temporary)))
                _flush(*(path for path in temporary.rglob("*") if path.is_file()))
                temporary.chmod(0o777 & ~_umask())
                temporary.rename(folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except Exception as error:
        if is_disk_full(error):
            free = shutil.disk_usage(folder.parent).free / 2**20
            raise UserError(
                f"No space left on the device of {folder.parent} ({free:,.0f} MiB free). "
                "Free some, or point data.cache_dir to another device. Nothing half-written was kept."
            ) from error
        raise
    return folder


def refuse_import() -> None:
    """Checks that this is no worker process that imports the script which started it.

    Raises:
        RuntimeError: it is one.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(
            "Corpora are prepared in several processes, each of which imports the script that is run. Put the body "
            'of the script under `if __name__ == "__main__":`, or set preparation.workers=1.'
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing a folder; one that waits says so.

    Raises:
        UserError: nothing may be written beside the folder.
    """
    lock = FileLock(f"{folder}.lock")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            console().print(f"note: waiting for another process, which prepares {folder}")
            lock.acquire()
    except OSError as error:
        if is_disk_full(error):
            raise
        raise UserError(
            f"The cache {folder.parent} cannot be written: {error.strerror}: {error.filename}. Point "
            "data.cache_dir, or MASKWRIGHT_CACHE in the environment, to a folder that can."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _contents(folder: Path) -> dict[str, list[Any]]:
    """Returns of each file in a folder its size, and a digest of its beginning and its end."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _MANIFEST)
    return {path.relative_to(folder).as_posix(): _state(path) for path in paths}


def _state(path: Path) -> list[Any]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        sample = file.read(_SAMPLE)
        file.seek(max(size - _SAMPLE, 0))
        sample += file.read(_SAMPLE)
    return [size, hashlib.blake2b(sample, digest_size=8).hexdigest()]


def is_whole(folder: Path) -> bool:
    """Whether a folder holds what `write_once` left in it."""
    try:
        written = json.loads((folder / _MANIFEST).read_text())
        return all(_state(folder / name) == state for name, state in written.items())
    except PermissionError as error:
        raise UserError(f"The cache {folder} may not be read by this user: {error}.") from error
    except (OSError, ValueError):
        return False


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Writes one file completely or not at all: `write(temporary path)` in the same folder, then a rename.

    An existing file of that name stays until the new one is complete.
    """
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        write(temporary)
        _flush(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_left_overs(folder: Path) -> None:
    """Removes what killed calls of `write_file` have left in a folder that no other process writes to."""
    for path in folder.glob(".*-*"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def _flush(*files: Path) -> None:
    """Waits until the files are on the device, so that a rename cannot overtake their contents."""
    for path in files:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
