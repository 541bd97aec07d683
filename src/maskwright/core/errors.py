"""What to tell a user whose input cannot be used."""

import difflib
import errno
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user's, or of the user's machine, that the message explains whole.

    A message names the key or file, what was found there, and what would be right. A door prints
    it without a traceback and exits with status 2.
    """


class Interrupted(Exception):
    """Training was asked to stop by a signal, and did so between two steps, after saving itself.

    Args:
        message: what stands where, and how to go on.
        signal: the number of the signal.
    """

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal


def nearest(name: str, known: Iterable[str]) -> str:
    """`" Did you mean 'x'?"` for the known name that resembles `name` most, else an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def is_disk_full(error: BaseException | None) -> bool:
    """Whether `error`, or an error that it was raised from, says that a device has no space left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        # libraries written in C++ and Rust keep the words and lose the number
        if "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
