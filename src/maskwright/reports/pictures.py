"""Sends pictures to the loggers of a run."""

from pathlib import Path

from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger


def log(name: str, path: Path, trainer: Trainer) -> None:
    """Logs a PNG file under this name to TensorBoard and W&B, if the run uses them."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            from matplotlib.image import imread  # takes a second to import

            pixels = imread(path)[..., :3]
            logger.experiment.add_image(name, pixels, trainer.global_step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(name, [str(path)], step=trainer.global_step)
