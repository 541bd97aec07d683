"""Draws the losses of a run."""

from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from maskwright.core.atomic import write_file
from maskwright.core.distributed import is_main
from maskwright.core.errors import is_disk_full
from maskwright.core.types import PathText


class LossCurve(Callback):
    """Draws training and validation loss over steps when training ends, even if it ends by an error.

    The points are stored in checkpoints, so the picture of a resumed run shows the whole training.

    Args:
        path: the PNG file to write.
    Attributes:
        points: pairs of step and loss in nats, for `train` and `validation`.
        baseline: a loss to compare with, drawn as a line; None draws none.
    """

    def __init__(self, path: PathText):
        self.path = Path(path)
        self.points: dict[str, list[tuple[int, float]]] = {"train": [], "validation": []}
        self.baseline: float | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._add(trainer, "train")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._add(trainer, "validation")

    def _add(self, trainer: Trainer, split: str) -> None:
        loss, points = trainer.callback_metrics.get(f"{split}/loss"), self.points[split]
        if loss is not None and (not points or points[-1][0] < trainer.global_step):
            points.append((trainer.global_step, float(loss)))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_main(trainer):
            self.draw()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if is_main(trainer) and not is_disk_full(exception):
            self.draw()

    def draw(self) -> None:
        """Writes the picture, unless there are no points yet."""
        if not any(self.points.values()):
            return
        from matplotlib.figure import Figure  # takes a second to import

        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.subplots()
        if self.points["train"]:
            axes.plot(*zip(*self.points["train"], strict=True), color="tab:blue", alpha=0.6, label="training")
        if self.points["validation"]:
            axes.plot(*zip(*self.points["validation"], strict=True), "o-", color="tab:orange", label="validation")
        if self.baseline is not None:
            axes.axhline(self.baseline, color="grey", linestyle="--", label="guessing by frequency")
        axes.set(xlabel="optimizer steps", ylabel="loss")
        axes.grid(alpha=0.3)
        axes.legend()
        write_file(self.path, lambda path: figure.savefig(path, dpi=120, format="png"))

    def state_dict(self) -> dict[str, Any]:
        return {split: [list(point) for point in points] for split, points in self.points.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.points = {split: [(int(s), float(x)) for s, x in points] for split, points in state_dict.items()}
