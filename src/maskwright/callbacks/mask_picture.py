"""Draws what the masks of a run hide."""

from pathlib import Path
from typing import cast

from lightning import Callback, LightningModule, Trainer

from maskwright.core.distributed import is_main
from maskwright.core.types import PathText, PositiveCount
from maskwright.loggers import picture
from maskwright.reports import masks
from maskwright.tasks import Task


class MaskPicture(Callback):
    """Draws a few validation texts under the training mask, at the first validation.

    The picture is also sent to TensorBoard and W&B.

    Args:
        path: the PNG file to write.
        texts: how many sentences of the validation split it shows, each from another document.
    """

    def __init__(self, path: PathText, texts: PositiveCount = 4):
        self.path, self.texts = Path(path), texts
        self._drawn = False

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        task = cast(Task, pl_module)
        progress = task.progress()  # on all ranks, which agree on the time
        if self._drawn or not is_main(trainer):
            return
        self._drawn = True
        masker = task.masker
        if masker is None or not masker.masks:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        texts, marks = masks.held_out(data, self.texts)
        if not texts:
            return
        batch, shard = data.encode(texts, marks)
        batch = {name: tensor.to(task.device) for name, tensor in batch.items()}
        cuts = masks.segments(masker, data.tokenizer, batch, shard, progress)
        rows = [(f"text {i}", cut) for i, cut in enumerate(cuts, 1)]
        masks.write(masks.Picture(f"Training mask at step {trainer.global_step}", rows), self.path)
        picture("masks", self.path, trainer)
