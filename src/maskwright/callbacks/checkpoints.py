"""Checkpoints of a run."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from maskwright.core.atomic import write_file
from maskwright.core.errors import is_disk_full
from maskwright.core.paths import LAST, PREVIOUS
from maskwright.core.terminal import console
from maskwright.core.types import PathText

_PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


class Checkpoints(ModelCheckpoint):
    """Writes `best.ckpt`, by a metric, and `last.ckpt` at each validation.

    The metrics of the moment are in the checkpoints, for a run that is killed between its last step and its test.
    A run that is resumed in a new directory copies the best checkpoint so far into it. The directory is then
    complete, and its best checkpoint is the best of the whole training.

    Args:
        dirpath: the folder of the checkpoints.
        monitor: the metric.
        mode: whether lower (`min`) or higher (`max`) values are better.

    Attributes:
        metrics: the metrics by name as of the checkpoint that the run resumes from.
    """

    def __init__(self, dirpath: PathText, monitor: str, mode: str):
        super().__init__(
            dirpath=dirpath,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_last=True,
            enable_version_counter=False,
        )
        self.metrics: dict[str, float] = {}
        self._trainer: Trainer | None = None
        self._resumed: Path | None = None  # the folder of the checkpoint that the run resumes from

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._trainer = trainer

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes `last.ckpt` even if there is no better `best.ckpt`, which Lightning does not."""
        super().on_validation_end(trainer, pl_module)
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def state_dict(self) -> dict[str, Any]:
        """Returns the state with the names of files in the folder, so that it may be moved."""
        state = super().state_dict()
        state |= {key: Path(state[key]).name for key in _PATHS}
        models = {Path(path).name: score for path, score in state["best_k_models"].items()}
        now = {} if self._trainer is None else self._trainer.callback_metrics
        metrics = {name: float(value) for name, value in now.items()}
        return state | {"dirpath": "", "best_k_models": models, "metrics": metrics}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Remembers the folder of the checkpoint, where its best one lies as well."""
        self._resumed = Path(str(trainer.ckpt_path)).absolute().parent

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        folder, name = Path(str(self.dirpath)), Path(state_dict["best_model_path"]).name
        best = Path(state_dict["best_model_path"])  # of an older run that was not moved, a whole path
        if self._resumed is not None and name:
            best = self._resumed / name
        own: dict[str, Any] = {"dirpath": self.dirpath, "last_model_path": ""}
        if name and best.is_file():
            kept = folder / name
            if not (kept.exists() and kept.samefile(best)):
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy2(best, kept)
            models = {str(kept): state_dict["best_model_score"]}
            own |= {"best_model_path": str(kept), "kth_best_model_path": str(kept), "best_k_models": models}
        else:
            own |= {"best_model_path": "", "kth_best_model_path": "", "best_model_score": None, "best_k_models": {}}
        if self._resumed == folder.absolute() and state_dict["last_model_path"]:
            own["last_model_path"] = str(folder / Path(state_dict["last_model_path"]).name)
        self.metrics = state_dict.get("metrics", {})
        super().load_state_dict(state_dict | own)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint completely or not at all, and keeps the `last.ckpt` before the new one.

    Lightning writes to the system's temporary folder and moves the file from there. Between two devices this is a
    copy, which a full disk or a killed process leaves incomplete.

    Where the disk is full, training goes on: the next validation writes again.

    Attributes:
        missing: checkpoints that the full disk has not taken, with the errors, until one of that name is written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.missing: dict[Path, OSError | RuntimeError] = {}

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)

        def write(temporary: Path) -> None:
            torch.save(checkpoint, temporary)
            if path.name == LAST and path.exists():
                os.replace(path, path.with_name(PREVIOUS))

        try:
            write_file(path, write)
        except (OSError, RuntimeError) as error:  # torch's own writer raises the latter
            if not is_disk_full(error):
                raise
            self.missing[path] = error
            console().print(
                f"warning: no space left on the device of {path}: the checkpoint of step "
                f"{checkpoint['global_step']} is not kept. Training goes on; free some space."
            )
        else:
            self.missing.pop(path, None)
