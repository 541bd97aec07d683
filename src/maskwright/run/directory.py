"""The directory of a run, which it shares with no other."""

from itertools import count
from pathlib import Path
from types import TracebackType

from omegaconf import DictConfig, OmegaConf

from maskwright.core.errors import UserError
from maskwright.core.job_output import JobOutput, remove_empty
from maskwright.run.saved import SavedRun

CONFIG = "config.yaml"  # the run whose config it is has the directory


class RunDirectory:
    """Claims the directory of a run, from the start of the command to the start of the run.

    Directories named by the clock are claimed at once: of two jobs that begin in the same second, the second gets
    the name with `-2`. A directory that the user names belongs to the first run in it; another is refused, and only
    that run itself may go on there. Nothing stays behind of a command that fails before `begin`.

    Args:
        cfg: the config; its `run_dir` is final once the claim is made.
        output: the directory that Hydra has made for the job, if Hydra runs it.
        shared: whether it is for a process beside the first one of the run, which has claimed it.
    """

    def __init__(self, cfg: DictConfig, output: JobOutput | None = None, shared: bool = False):
        self._shared = shared
        self._claimed = self._begun = False
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
        if not self._begun:
            if self._claimed:
                (self.path / CONFIG).unlink(missing_ok=True)
            remove_empty(self.path, and_above=self._by_clock and self.path == self._made)
        if self._made is not None and self._made != self.path:  # Hydra has made it for nothing
            remove_empty(self._made, and_above=self._by_clock)

    def check(self, checkpoint: SavedRun | None) -> None:
        """Checks that no other run has the directory.

        Args:
            checkpoint: what the run resumes from.
        Raises:
            UserError: it holds a run, and the checkpoint is not that run's.
        """
        if self._shared or self._claimed or self._own(checkpoint):
            return
        if (self.path / CONFIG).exists():
            raise self._taken()

    def begin(self, config: DictConfig, checkpoint: SavedRun | None) -> None:
        """Writes the config, with which the run has the directory.

        Raises:
            UserError: another run has begun there in the meantime.
        """
        if not self._shared:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self._claimed and not self._own(checkpoint) and not self._claim():
                raise self._taken()
            OmegaConf.save(config, self.path / CONFIG)
        self._begun = True

    def _own(self, checkpoint: SavedRun | None) -> bool:
        return checkpoint is not None and checkpoint.directory.resolve() == self.path.resolve()

    def _taken(self) -> UserError:
        kept = (self.path / "checkpoints" / "last.ckpt").is_file()
        resumed = f"Resume it with ckpt_path={self.path}, or name" if kept else "Delete it, or name"
        return UserError(f"run_dir={self.path} holds another run. {resumed} another directory.")

    def _claim(self) -> bool:
        """Creates an empty config unless there is one; of several processes, one succeeds."""
        try:
            (self.path / CONFIG).touch(exist_ok=False)
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
