"""What the run's masks hide, as a picture."""

from pathlib import Path

from lightning import Callback, LightningModule, Trainer

from maskwright.masking import Nothing
from maskwright.reports import masks, pictures
from maskwright.tasks import MaskedLanguageModeling
from maskwright.tasks.labelled import LabelledTask


class MaskPicture(Callback):
    """`masks.png`: a few validation texts under the training mask, drawn at the first validation.

    It also goes to TensorBoard and to W&B.

    Args:
        path: where the picture is written.
        texts: how many sentences of the validation split it shows, each of a document of its own.
    """

    def __init__(self, path: str, texts: int = 4):
        self.path, self.texts = Path(path), texts
        self._drawn = False

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._drawn or not trainer.is_global_zero:
            return
        self._drawn = True
        assert isinstance(pl_module, (MaskedLanguageModeling, LabelledTask))
        if isinstance(pl_module.masker.units, Nothing):
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        texts, marks = masks.held_out(data, self.texts)
        if not texts:
            return
        batch, piece = data.encode(texts, marks)
        batch = {name: tensor.to(pl_module.device) for name, tensor in batch.items()}
        cuts = masks.parts(pl_module.masker, data.tokenizer, batch, piece, pl_module.progress())
        rows = [(f"text {i}", cut) for i, cut in enumerate(cuts, 1)]
        masks.write(masks.Picture(f"Training mask at step {trainer.global_step}", rows), self.path)
        pictures.log("masks", self.path, trainer)
