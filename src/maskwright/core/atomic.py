"""Folders and files that are either complete or absent."""

import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from maskwright.core.errors import UserError, is_disk_full

_LOG = logging.getLogger(__name__)


def fingerprint(settings: Any) -> str:
    """Returns 16 hexadecimal digits that differ where the settings (plain containers) differ."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def write_once(folder: Path, write: Callable[[Path], None]) -> Path:
    """Returns `folder`, after filling it with `write(temporary folder)` if it does not exist yet.

    The folder appears under its name only when it is complete and on disk: a process that is killed half-way
    leaves nothing that a later one would trust. Processes that need the same folder wait for the first.

    Raises:
        UserError: the device has no space left.
        RuntimeError: a worker process imports the script that started it, and the script asks for the folder again.
            The worker would wait for its parent, which waits for the worker.
    """
    if folder.is_dir():
        return folder
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(
            "Corpora are prepared in several processes, each of which imports the script that is run. Put the body "
            'of the script under `if __name__ == "__main__":`, or set hardware.preparation_workers=1.'
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _waiting(FileLock(f"{folder}.lock"), folder):
            if folder.is_dir():
                return folder
            for left_over in folder.parent.glob(f".{folder.name}-*"):
                shutil.rmtree(left_over)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            try:
                write(temporary)
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


@contextmanager
def _waiting(lock: FileLock, folder: Path) -> Iterator[None]:
    """Holds a lock, and says so where it has to wait for it."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        _LOG.warning("Waiting for another process that prepares %s.", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


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
