"""Pictures of a run, where its loggers show them."""

from pathlib import Path

from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger


def log(name: str, path: Path, trainer: Trainer) -> None:
    """Shows a PNG file under this name in TensorBoard and W&B, where the run logs to them."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            from matplotlib.image import imread  # takes a second to import

            pixels = imread(path)[..., :3]
            logger.experiment.add_image(name, pixels, trainer.global_step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(name, [str(path)], step=trainer.global_step)
