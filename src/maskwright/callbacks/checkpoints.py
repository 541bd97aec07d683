"""Checkpoints of a run."""

import shutil
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from maskwright.core.atomic import write_file


class Checkpoints(ModelCheckpoint):
    """Writes `best.ckpt`, by a metric, and `last.ckpt` at each validation.

    A run that is resumed in a new directory copies the best checkpoint so far into it. The directory is then
    complete, and its best checkpoint is the best of the whole training.

    Args:
        dirpath: the folder of the checkpoints.
        monitor: the metric.
        mode: whether lower (`min`) or higher (`max`) values are better.
    """

    def __init__(self, dirpath: str, monitor: str, mode: str):
        super().__init__(
            dirpath=dirpath,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_last=True,
            enable_version_counter=False,
        )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes `last.ckpt` even if there is no better `best.ckpt`, which Lightning does not."""
        super().on_validation_end(trainer, pl_module)
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best, folder = Path(state_dict["best_model_path"]), Path(str(self.dirpath))
        if state_dict["dirpath"] != self.dirpath:
            moved: dict[str, Any] = {"dirpath": self.dirpath, "last_model_path": ""}
            if best.is_file():
                folder.mkdir(parents=True, exist_ok=True)
                own = shutil.copy2(best, folder / best.name)
                models = {str(own): state_dict["best_model_score"]}
                moved |= {"best_model_path": str(own), "kth_best_model_path": str(own), "best_k_models": models}
            else:
                moved |= {"best_model_path": "", "best_model_score": None, "best_k_models": {}}
            state_dict = state_dict | moved
        super().load_state_dict(state_dict)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint completely or not at all.

    Lightning writes to the system's temporary folder and moves the file from there. Between two devices this is a
    copy, which a full disk or a killed process leaves incomplete.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_file(Path(path), lambda temporary: torch.save(checkpoint, temporary))
