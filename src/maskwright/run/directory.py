"""The directory of a run, which it shares with no other."""

import os
from itertools import count
from pathlib import Path
from types import TracebackType

from omegaconf import DictConfig, OmegaConf

from maskwright.core.atomic import remove_left_overs
from maskwright.core.errors import UserError
from maskwright.core.job_output import JobOutput, remove_empty
from maskwright.core.paths import CHECKPOINTS, LAST

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CONFIG = "config.yaml"  # the run whose config it is has the directory


class RunDirectory:
    """Claims the directory of a run, from the start of the command to the start of the run.

    Directories named by the clock are claimed at once: of two jobs that begin in the same second, the second gets
    the name with `-2`. A directory that the user names belongs to the first run in it; another is refused, and only
    that run itself may go on there, and only one process at a time. Nothing stays behind of a command that fails
    before `begin`.

    Args:
        cfg: the config; its `run_dir` is final once the claim is made.
        output: the directory that Hydra has made for the job, if Hydra runs it.
        shared: whether it is for a process beside the first one of the run, which has claimed it.

    Attributes:
        named: whether the user has named it on the command line.
    """

    def __init__(self, cfg: DictConfig, output: JobOutput | None = None, shared: bool = False):
        self._shared = shared
        self._claimed = self._begun = self._goes_on = False
        self._lock: int | None = None
        self.named = output is not None and output.named
        self._made = None if output is None else output.folder
        self._by_clock = output is not None and not output.named
        self.path = Path(str(cfg.run_dir))
        if output is not None and self._by_clock and not self._shared and self.path == output.folder:
            self._claim_another(output)
            self.path = Path(str(cfg.run_dir))

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._shared:
            return
        if self._lock is not None:
            os.close(self._lock)
        if not self._begun:
            if self._claimed:
                self.config.unlink(missing_ok=True)
            remove_empty(self.path, and_above=self._by_clock and self.path == self._made)
        if self._made is not None and self._made != self.path:  # Hydra has made it for nothing
            remove_empty(self._made, and_above=self._by_clock)

    def check(self, goes_on: bool) -> None:
        """Checks that no other run has the directory.

        Args:
            goes_on: whether the run is that which the directory holds, if it holds one.
        Raises:
            UserError: it holds a run that this is not, or that another process is training.
        """
        self._goes_on = goes_on
        if self._shared or self._claimed or not self.config.exists():
            return
        if not goes_on:
            raise self._taken()
        self._hold()

    def begin(self, config: DictConfig) -> None:
        """Writes the config, with which the run has the directory, and removes what killed processes left there.

        Raises:
            UserError: another run has begun there in the meantime.
        """
        if not self._shared:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self._claimed and not self._claim() and not self._goes_on:
                raise self._taken()
            self._hold()
            OmegaConf.save(config, self.config)
            for folder in (self.path, self.path / CHECKPOINTS):
                remove_left_overs(folder)
        self._begun = True

    @property
    def config(self) -> Path:
        """The file with the config."""
        return self.path / CONFIG

    def _hold(self) -> None:
        """Keeps other processes out until this one ends, where the file system has locks.

        Raises:
            UserError: another process is in the directory.
        """
        if self._lock is not None or fcntl is None:
            return
        self._lock = os.open(self.config, os.O_RDWR)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"run_dir={self.path}: another process is training there. Wait for its end.") from None
        except OSError:
            pass

    def _taken(self) -> UserError:
        kept = (self.path / CHECKPOINTS / LAST).is_file()
        resumed = f"Resume it with ckpt_path={self.path}, or name" if kept else "Delete it, or name"
        return UserError(f"run_dir={self.path} holds another run. {resumed} another directory.")

    def _claim(self) -> bool:
        """Creates an empty config unless there is one; of several processes, one succeeds."""
        try:
            self.config.touch(exist_ok=False)
        except FileExistsError:
            return False
        self._claimed = True
        return True

    def _claim_another(self, output: JobOutput) -> None:
        """Claims the directory that Hydra has made, or a new one beside it."""
        if self._claim():
            return
        first = self.path
        for number in count(2):
            self.path = first.with_name(f"{first.name}-{number}")
            try:
                self.path.mkdir()
            except FileExistsError:
                continue
            if self._claim():
                break
        self._made = self.path
        output.move(self.path)
