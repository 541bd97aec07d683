"""What both formats show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from maskwright.reports.comparison.compare import SEED, Group, shown
from maskwright.reports.comparison.gather import Run


@dataclass(frozen=True)
class Content:
    """Attributes:
    names: the paths of the runs, relative to the report.
    keys: the settings that differ.
    equal: those that do not.
    quality: the metric to compare by; None if no run has one.
    """

    runs: Sequence[Run]
    names: Sequence[str]
    keys: Sequence[str]
    equal: dict[str, Any]
    groups: Sequence[Group]
    quality: str | None

    def metrics(self) -> list[str]:
        """The final metrics of the table: the quality, and those of the test and the best checkpoint."""
        names = dict.fromkeys(
            name for run in self.runs for name in run.metrics if name.startswith(("test/", "best/"))
        )
        return list(dict.fromkeys([*([self.quality] if self.quality else []), *names]))

    def run_rows(self) -> tuple[list[str], list[list[str]]]:
        """The head and the rows of the table of runs."""
        head = ["run", "status", *self.keys, *self.metrics()]
        rows = [
            [name, run.status]
            + [shown(run.settings.get(key)) for key in self.keys]
            + [number(run.metrics.get(metric)) for metric in self.metrics()]
            for name, run in zip(self.names, self.runs, strict=True)
        ]
        return head, rows

    def group_rows(self) -> tuple[list[str], list[list[str]]]:
        """The head and the rows of the table of means over seeds."""
        keys = [key for key in self.keys if key != SEED]
        rows = []
        for group in self.groups:
            found = group.interval(self.quality) if self.quality else None
            n, mean, half = found or (0, None, None)
            rows.append([*map(shown, group.values), str(n), number(mean), number(half)])
        return [*keys, "n", self.quality or "quality", "± 95 %"], rows

    def problems(self) -> list[tuple[str, str]]:
        """What went wrong, as name of the run and sentence."""
        found = []
        for name, run in zip(self.names, self.runs, strict=True):
            if run.status != "completed":
                found.append((name, f"{run.status}: {run.error}" if run.error else run.status))
            found += [(name, note) for note in run.notes]
        return found


def number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.5g}"
