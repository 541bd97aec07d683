"""The directory that Hydra makes for a job, as those know it who know no Hydra."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class JobOutput:
    """The directory that was made for a job before it began.

    Attributes:
        folder: its path.
        named: whether the user has named it, and not the clock.
        move: says that the job has another directory instead.
    """

    folder: Path
    named: bool
    move: Callable[[Path], None]
