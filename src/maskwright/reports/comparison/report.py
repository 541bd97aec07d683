"""Writes the comparison of runs as a page or as Markdown."""

import os
from collections.abc import Sequence
from pathlib import Path

from maskwright.core.atomic import write_file
from maskwright.core.errors import UserError, nearest
from maskwright.reports.comparison import markdown, page
from maskwright.reports.comparison.compare import differing, group
from maskwright.reports.comparison.content import Content
from maskwright.reports.comparison.gather import Run, gather

FORMATS = ("html", "markdown")


def report(
    folders: Sequence[Path], format: str = "html", output: Path | None = None, metric: str | None = None
) -> tuple[Path, int]:
    """Writes what the runs in the folders did to one file, and returns the file and their number.

    Raises:
        UserError: there are no runs, none has the metric, or the file cannot be written.
    """
    runs = gather(folders)
    keys, equal = differing(runs)
    output = output or Path("report.html" if format == "html" else "report.md")
    beside = output.resolve().parent
    names = [Path(os.path.relpath(run.path, beside)).as_posix() for run in runs]
    content = Content(runs, names, keys, equal, group(runs, keys), _quality(runs, metric))
    text = page.render(content) if format == "html" else markdown.render(content)
    try:
        beside.mkdir(parents=True, exist_ok=True)
        write_file(output, lambda path: path.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--output: {output} cannot be written: {error.strerror}.") from error
    return output, len(runs)


def _quality(runs: Sequence[Run], metric: str | None) -> str | None:
    """Returns the metric to compare by: the one that is asked for, else one of the test, else of validation."""
    known = list(dict.fromkeys(name for run in runs for name in run.metrics))
    if metric is not None:
        if metric not in known:
            raise UserError(
                f"--metric {metric}: no run has it.{nearest(metric, known)} They have {', '.join(known)}."
            )
        return metric
    ranks = ("test/loss", "test/", "best/", "validation/", "")
    return next((name for rank in ranks for name in known if name.startswith(rank)), None)
