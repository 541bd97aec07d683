"""The directory that Hydra makes for a job, as those know it who know no Hydra."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


def remove_empty(folder: Path, and_above: bool) -> None:
    """Removes an empty directory, unless it is the working directory or holds it.

    Args:
        and_above: whether also the empty ones that it is in, below the working directory.
    """
    here = Path.cwd()
    if here.is_relative_to(folder):  # run_dir=. is not ours to remove
        return
    with suppress(OSError):  # is not empty, or does not exist
        folder.rmdir()
        for parent in folder.parents if and_above else ():
            if here not in parent.parents:
                break
            parent.rmdir()


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

    def remove_if_empty(self) -> None:
        """Removes the directory if nothing was written there; where the clock gave its name, those above it too."""
        remove_empty(self.folder, and_above=not self.named)
