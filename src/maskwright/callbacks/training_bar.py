"""Progress of the training on the terminal."""

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Timer

from maskwright.callbacks.throughput import Throughput
from maskwright.core.distributed import is_main
from maskwright.core.terminal import Bar

_SECONDS_BETWEEN_LOOKS = 0.5  # reading the loss makes the host wait for the device


class TrainingBar(Callback):
    """Shows finished steps (or seconds, if the run is limited by time), metrics, throughput and time left."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._looked = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not is_main(trainer):
            return
        self._clock = next((c for c in trainer.callbacks if isinstance(c, Timer)), None)  # type: ignore[attr-defined]
        if trainer.max_steps > 0:
            self._bar = Bar("Training, steps", trainer.max_steps)
        elif self._clock is not None:
            total = self._clock.time_elapsed() + (self._clock.time_remaining() or 0.0)
            self._bar = Bar("Training, seconds", round(total))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self._bar is not None and time.monotonic() - self._looked > _SECONDS_BETWEEN_LOOKS:
            self._look(trainer)

    def _look(self, trainer: Trainer) -> None:
        assert self._bar is not None
        self._looked = time.monotonic()
        metrics = trainer.callback_metrics
        fields = [
            f"{label} {float(metrics[name]):{form}}"
            for label, name, form in (
                ("loss", "train/loss", ".3f"),
                ("accuracy", "train/accuracy", ".1%"),
                ("validation loss", "validation/loss", ".3f"),
            )
            if name in metrics
        ]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Throughput):
                fields.append(f"{callback.tokens_per_second:,.0f} tokens/s")
        by_steps = trainer.max_steps > 0 or self._clock is None
        done = trainer.global_step if by_steps else round(self._clock.time_elapsed())  # type: ignore[union-attr]
        self._bar.advance(done=done, fields=", ".join(fields))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is not None:
            self._look(trainer)
            self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
