"""Errors with messages for users, and the parts of such messages."""

import difflib
import errno
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

USER_ERROR = 2  # the exit status of a command, as argparse has it


class UserError(Exception):
    """An error in the user's input or on the user's machine, which the message explains completely.

    A message names the key or file, what was found there, and what would be right. A command prints it without a
    traceback and exits with status 2.
    """


class Interrupted(Exception):
    """Training was stopped by a signal, between two steps and after a checkpoint was saved.

    Args:
        message: where the checkpoint is, and how to continue from it.
        signal: the number of the signal.
    """

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal


class JobsFailed(Exception):
    """Jobs of a sweep have failed, which the message lists."""


class Pruned(Exception):
    """A search has ended a run that does worse than others."""


@contextmanager
def ends_with_an_error() -> Iterator[None]:
    """Ends a program without Hydra as commands end: a `UserError` becomes a line and the status `USER_ERROR`."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(USER_ERROR)


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns `" Did you mean 'x'?"` for the known name that is most similar to `name`, else an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def is_disk_full(error: BaseException | None) -> bool:
    """Returns whether `error`, or an error that it was raised from, says that a device has no space left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        # libraries written in C++ and Rust keep the message and lose the error number
        if "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
