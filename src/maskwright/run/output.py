"""Where the rows that a command makes of texts go: a file that a later call continues, stdout, or a table."""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Generic, TextIO, TypeVar

from maskwright.core.terminal import Bar, bar, console
from maskwright.reports.prediction_file import PredictionFile, check_output, line

STDOUT = "-"

Row = dict[str, Any]
W = TypeVar("W")  # a window: what one call makes rows of


class Rows(Generic[W]):
    """The rows that a command makes, window by window.

    Args:
        windows: what rows are made of, in order.
        make: returns the rows of a window.
        texts: returns the `text` of each row of a window, or what else `key` names, without making them.
        size: rows of each window but the last.
        total: the number of all rows; None if it is unknown.
        doing: what a progress bar says.
        known: called with each row that a file has already when it is continued.
        key: of a row, what tells it from others.
    """

    def __init__(
        self,
        windows: Iterable[W],
        make: Callable[[W], Sequence[Row]],
        texts: Callable[[W], Sequence[str]],
        size: int,
        total: int | None,
        doing: str,
        known: Callable[[Row], None] = lambda row: None,
        key: str = "text",
    ):
        self.windows, self.make, self.texts = windows, make, texts
        self.size, self.total, self.doing = size, total, doing
        self.known, self.key = known, key
        self.bar: Bar | None = None  # while rows are made

    def print(self, show: Callable[[Sequence[Row], TextIO], None], stdout: TextIO) -> int:
        """Prints the rows of one window after the other; ends where nobody reads them any more.

        Returns:
            The number of rows.
        """
        count = 0
        if isinstance(stdout, io.TextIOWrapper):
            stdout.reconfigure(encoding="utf-8")  # as JSON is, whatever the locale is
        try:
            with bar(self.doing, self.total) as progress:
                self.bar = progress
                for window in self.windows:
                    rows = self.make(window)
                    show(rows, stdout)
                    stdout.flush()
                    count += len(rows)
                    progress.advance(len(rows))
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())  # so that Python does not flush at its end
        return count

    def write(self, output: Path, identity: dict[str, str], overwrite: bool) -> int:
        """Writes the rows into a file, or continues it; see `PredictionFile`.

        Returns:
            The number of rows.
        """
        count = 0
        with PredictionFile(output, identity, overwrite, self.size) as file:
            kept, held = file.windows, file.held()
            with bar(self.doing, self.total) as progress, _told(output):
                self.bar = progress
                for number, window in enumerate(self.windows):
                    texts = self.texts(window)
                    if number >= kept:
                        file.write(self.make(window))
                    else:
                        for text in texts:
                            if (row := next(held))[self.key] != text:
                                raise file.begun_with("another input")
                            self.known(row)
                    count += len(texts)
                    progress.advance(len(texts))
            if count < kept * self.size:
                raise file.begun_with("another input")
            file.finish()
        if kept:
            console().print(f"note: {kept * self.size:,} rows were there already")
        return count


def lines(rows: Sequence[Row], stdout: TextIO) -> None:
    """Prints rows as lines of JSON."""
    stdout.write("".join(map(line, rows)))


def checked_output(output: str | None, overwrite: bool) -> Path | None:
    """Returns the file that rows go to; None for stdout.

    Raises:
        UserError: its ending is unknown, or it is finished already and may not be replaced.
    """
    if output is None or output == STDOUT:
        return None
    path = Path(output).expanduser()
    check_output(path, overwrite)
    return path


@contextmanager
def stdout_for_rows() -> Iterator[TextIO]:
    """Leaves stdout to the rows of a command: whatever else it prints goes to stderr."""
    stdout = sys.stdout
    with redirect_stdout(sys.stderr):
        yield stdout


@contextmanager
def _told(output: Path) -> Iterator[None]:
    """Says after an interruption how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        console().print(f"note: output={output} is not finished; the same command continues it")
        raise
