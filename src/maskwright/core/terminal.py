"""Progress on the terminal: a bar for a person, a line now and then for a log file."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 30.0


def console() -> Console:
    """The terminal of the process, looked up late so that a redirected stdout is respected.

    Square brackets are text, as they are in what is shown.
    """
    return Console(file=sys.stdout, soft_wrap=not sys.stdout.isatty(), highlight=False, markup=False)


class Bar:
    """Counts finished pieces of work out of `total`, or of an unknown number where it is None."""

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
        """Adds `by` pieces, or sets the number finished to `done`; `fields` is text shown beside them."""
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
        """Leaves the last state on the screen."""
        if self._live is not None:
            self._live.stop()
        else:
            self._say()


@contextmanager
def bar(description: str, total: int | None = None) -> Iterator[Bar]:
    """A bar that closes when its block ends, also by an error."""
    shown = Bar(description, total)
    try:
        yield shown
    finally:
        shown.close()
