"""Weights & Biases."""

import os
import secrets
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger as LightningWandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from maskwright.core.atomic import write_file
from maskwright.core.terminal import console
from maskwright.core.types import PathText, Rate
from maskwright.loggers.description import TOKENS, Description
from maskwright.loggers.wandb_key import has_key

# which W&B shows as finished, killed (its own code for Ctrl-C) and failed
EXIT_CODES = {"completed": 0, "pruned": 0, "interrupted": 255, "failed": 1}
_SECONDS_TO_REACH = 30  # the server, at the beginning of a run


class WandbLogger(LightningWandbLogger):
    """Logs a run to Weights & Biases, as one W&B run from its first step to its last.

    The id of the W&B run is kept in `<save_dir>/wandb/id`, so that a run that is resumed in its directory goes on
    with it, at the steps where it is. What goes wrong with W&B ends the logging to it, never the training.

    Args:
        project: the project on the server.
        save_dir: the run directory.
        name, group, job_type, tags: of the run; None takes those of its `Description`.
        offline: whether the run is only written to this disk, for `wandb sync`; None does so where no key is set.
        finish_timeout: the seconds that the end of a run waits until everything is uploaded.
        settings: further arguments of `wandb.init`.
    """

    def __init__(
        self,
        project: str = "maskwright",
        save_dir: PathText = ".",
        name: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: Sequence[str] | None = None,
        offline: bool | None = None,
        finish_timeout: Rate = 120,
        **settings: Any,
    ):
        super().__init__(
            project=project, save_dir=save_dir, name=name, group=group, job_type=job_type, tags=tags, **settings
        )
        self.folder = Path(save_dir) / "wandb"
        self.description = Description(Path(save_dir).absolute().name)
        self._only_on_disk, self._finish_timeout = offline, finish_timeout
        self._defined: set[str] = set()
        self._lost = False  # whether W&B gets nothing more of the run

    @rank_zero_only
    def begin(self, description: Description) -> None:
        """Begins the W&B run, or goes on with it."""
        self.description = description
        self._send(lambda run: run.config.update(dict(description.config), allow_val_change=True))
        run = self._experiment
        if run is not None and (where := run.settings.sync_dir if run.offline else run.url):
            console().print(f"{'W&B':>10}: {where}")

    @rank_zero_only
    def finish(self, status: str, summary: Mapping[str, Any], requeued: bool = False) -> None:
        """Ends the W&B run, and says how it is uploaded if it was not; see `send.finish`."""
        if self._experiment is None:
            return

        def end(run: Any) -> None:
            run.summary.update(dict(summary))
            if requeued:
                run.mark_preempting()
            run.finish(exit_code=EXIT_CODES[status])

        self._send(end, anyway=True)
        if self._lost or self._experiment.offline:
            console().print(f"Upload the run to W&B: wandb sync {self._folders()}")

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run of `wandb`."""
        if self._experiment is None:
            self._experiment = self._init()
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs metrics. What is logged at one step shares a row; rows of earlier steps are there already."""

        def send(run: Any) -> None:
            for name in metrics:
                self._define(run, name)
            run.log(dict(metrics), step=step)

        self._send(send)

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Logs images at the step that metrics are logged at next."""
        import wandb

        self._send(lambda run: run.log({key: [wandb.Image(image) for image in images]}, commit=False))

    @rank_zero_only
    def log_table(
        self,
        key: str,
        columns: list[Any] | None = None,
        data: list[list[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Logs a table at the step that metrics are logged at next."""
        import wandb

        self._send(lambda run: run.log({key: wandb.Table(columns, data, dataframe=dataframe)}, commit=False))

    def _send(self, send: Callable[[Any], None], anyway: bool = False) -> None:
        """Sends something to W&B, if nothing went wrong before, or `anyway`."""
        if self._lost and not anyway:
            return
        try:
            send(self.experiment)
        except Exception as error:
            if not self._lost:
                console().print(f"note: W&B gets nothing more of this run, which goes on: {_first_line(error)}")
            self._lost = True

    def _define(self, run: Any, name: str) -> None:
        """Tells W&B the x axis of a metric, and whether its best value is the lowest or the highest."""
        if name in self._defined:
            return
        self._defined.add(name)
        if name == TOKENS:
            run.define_metric(name)
            return
        split, _, metric = name.partition("/")
        known = self.description.better if split == "validation" else {}
        better = known.get(metric, known.get(metric.partition("/")[0]))
        run.define_metric(name, step_metric=TOKENS, summary=f"{better},last" if better else None)

    def _init(self) -> Any:
        import wandb

        given = {key: value for key, value in self._wandb_init.items() if value is not None}
        arguments = {**given, **self._identity(), "settings": self._settings(wandb)}
        arguments["config"] = dict(self.description.config)  # on disk at once
        if self._only_on_disk or (self._only_on_disk is None and "WANDB_MODE" not in os.environ and not has_key()):
            arguments["mode"] = "offline"
        try:
            return wandb.init(**arguments)
        except (wandb.Error, TimeoutError, OSError) as error:
            if arguments.get("mode") == "offline":
                raise
            wandb.teardown()  # of the attempt
            console().print(f"note: W&B is not reached, so the run is written to this disk: {_first_line(error)}")
            return wandb.init(**arguments | {"mode": "offline"})

    def _identity(self) -> dict[str, Any]:
        """Returns the arguments that say which run it is; W&B itself reads those that the environment sets."""
        about = self.description
        own = {"name": about.name, "group": about.group, "job_type": about.job_type, "tags": list(about.tags)}
        variables = {"name": "WANDB_NAME", "group": "WANDB_RUN_GROUP", "job_type": "WANDB_JOB_TYPE"}
        chosen = {
            key: self._wandb_init.get(key) or (None if variables.get(key, "WANDB_TAGS") in os.environ else value)
            for key, value in own.items()
        }
        return chosen | {"id": self._run_id()}

    def _run_id(self) -> str:
        kept = self.folder / "id"
        if kept.is_file():
            return kept.read_text().strip()
        new = self._id or os.environ.get("WANDB_RUN_ID") or secrets.token_hex(8)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_file(kept, lambda path: path.write_text(new + "\n"))
        return new

    def _settings(self, wandb: Any) -> Any:
        wanted = {
            **_code(),
            "reinit": "finish_previous",
            "init_timeout": _SECONDS_TO_REACH,
            "finish_timeout": self._finish_timeout,
            "finish_timeout_raises": True,
            "x_transaction_log_flush_interval": 1.0,  # what a killed run leaves on disk is complete up to then
            "quiet": True,  # without a second table of metrics at the end
        }
        # some are younger than the oldest version that is allowed
        return wandb.Settings(**{key: value for key, value in wanted.items() if key in wandb.Settings.model_fields})

    def _folders(self) -> str:
        """Returns what `wandb sync` takes: the folder of the run, or those of all its parts if it was resumed."""
        assert self._experiment is not None
        parts = sorted(self.folder.glob("offline-run-*"))
        if len(parts) > 1:
            return f"{shlex.quote(str(self.folder))}/offline-run-*"
        return shlex.quote(str(parts[0] if parts else self._experiment.settings.sync_dir))


def _code() -> dict[str, Any]:
    """Returns the settings that keep the program and the commit, which W&B looks for in the working directory."""
    package = Path(__file__).parent
    repository = next((folder for folder in package.parents if (folder / ".git").exists()), None)
    if repository is None:
        return {"disable_git": True}
    program = Path(sys.argv[0]).absolute()
    found = {"git_root": str(repository), "save_code": True}
    if program.is_relative_to(repository):
        found["program_relpath"] = str(program.relative_to(repository))
    return found


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
