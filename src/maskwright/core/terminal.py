"""Progress on the terminal: a progress bar in a terminal, occasional lines in a log file."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 30.0


def silence() -> None:
    """Prints nothing from now on, in a process beside the main one of a run; what goes to stderr stays."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  as long as the process


def console(stream: TextIO | None = None) -> Console:
    """Returns a console for a stream, or for the current stdout, so that a redirected stdout is respected.

    Square brackets are printed as they are, not read as markup.
    """
    stream = stream or sys.stdout
    return Console(file=stream, soft_wrap=not stream.isatty(), highlight=False, markup=False)


class Bar:
    """Counts finished items out of `total`, or out of an unknown number if that is None."""

    def __init__(self, description: str, total: int | None):
        self.description, self.total = description, total
        self.done, self.fields = 0, ""
        self._live: Progress | None = None
        self._said, self._line = time.monotonic(), ""
        if sys.stdout.isatty():
            self._live = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[fields]}"),
                TimeRemainingColumn(),
                console=console(),
            )
            self._task = self._live.add_task(description, total=total, fields="")
            self._live.start()

    def advance(self, by: int = 1, fields: str | None = None, done: int | None = None) -> None:
        """Adds `by` items, or sets the number of finished items to `done`; `fields` is text shown beside it."""
        self.done = self.done + by if done is None else done
        self.fields = self.fields if fields is None else fields
        if self._live is not None:
            self._live.update(self._task, completed=self.done, fields=self.fields)
        elif time.monotonic() - self._said > _SECONDS_BETWEEN_LINES:
            self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        of = f"/{self.total:,}" if self.total else ""
        line = f"{self.description}: {self.done:,}{of} {self.fields}".rstrip()
        if line != self._line:
            print(line, flush=True)
        self._line = line

    def close(self) -> None:
        """Closes the bar; its last state stays on the screen."""
        if self._live is not None:
            self._live.stop()
        else:
            self._say()


@contextmanager
def bar(description: str, total: int | None = None) -> Iterator[Bar]:
    """Opens a bar, which is closed at the end of the block even if an error is raised."""
    shown = Bar(description, total)
    try:
        yield shown
    finally:
        shown.close()
