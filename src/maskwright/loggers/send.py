"""What is sent to the loggers of a run besides its metrics: how it begins and ends, pictures and tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers import WandbLogger as LightningWandbLogger

from maskwright.loggers.description import Description
from maskwright.loggers.wandb_logger import EXIT_CODES, WandbLogger


def begin(trainer: Trainer, description: Description, config: dict[str, Any]) -> None:
    """Tells the loggers which run begins.

    Args:
        config: the settings of the run, plain.
    """
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.begin(description)
        elif not isinstance(logger, CSVLogger):  # config.yaml is already beside metrics.csv
            logger.log_hyperparams(config)


def finish(trainer: Trainer, status: str, summary: Mapping[str, Any], requeued: bool = False) -> None:
    """Tells the loggers how the run ends, which is the end of its W&B run.

    A W&B run that is left open would be continued by the next run of a sweep in this process.

    Args:
        status: `completed`, `interrupted` or `failed`, as in summary.json.
        summary: values that tell how the run went as a whole, over all its parts if it was resumed.
        requeued: whether it was stopped by a signal that a scheduler sends, after which the run goes on.
    """
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.finish(status, summary, requeued)
        elif isinstance(logger, LightningWandbLogger):
            logger.experiment.finish(exit_code=EXIT_CODES[status])


def picture(name: str, path: Path, trainer: Trainer) -> None:
    """Sends a PNG file to TensorBoard and W&B, if the run uses them."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            from matplotlib.image import imread  # takes a second to import

            pixels = imread(path)[..., :3]
            logger.experiment.add_image(name, pixels, trainer.global_step, dataformats="HWC")
        elif isinstance(logger, LightningWandbLogger):
            logger.log_image(name, [str(path)], step=trainer.global_step)


def table(name: str, columns: Sequence[str], rows: Sequence[Sequence[str | float]], trainer: Trainer) -> None:
    """Sends a table to TensorBoard and W&B, if the run uses them and the table has rows."""
    for logger in trainer.loggers if rows else ():
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text(name, _markdown(columns, rows), trainer.global_step)
        elif isinstance(logger, LightningWandbLogger):
            logger.log_table(name, list(columns), [list(row) for row in rows], step=trainer.global_step)


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
