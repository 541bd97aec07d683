"""One page about many runs: what differs among them, how they learned, and how good they became."""

from maskwright.reports.comparison.report import FORMATS, report

__all__ = ["FORMATS", "report"]
