"""What a mask hides, to look at."""

from maskwright.reports.masks.picture import Picture, legend, on_terminal
from maskwright.reports.masks.segments import Segment, held_out, segments
from maskwright.reports.masks.statistics import Statistics, statistics, table
from maskwright.reports.picture import WRITERS, write

__all__ = [
    "WRITERS",
    "Picture",
    "Segment",
    "Statistics",
    "held_out",
    "legend",
    "on_terminal",
    "segments",
    "statistics",
    "table",
    "write",
]
