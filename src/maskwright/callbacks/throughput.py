"""How fast a run trains."""

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Logs `train/tokens_per_second`, over all devices; validation is not counted.

    Attributes:
        tokens: positions trained on so far in this process, padding included, over all devices.
        seconds: the time that took.
    """

    def __init__(self) -> None:
        self.tokens, self.seconds = 0, 0.0
        self._window: tuple[int, float] = (0, 0.0)
        self._began = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if not self._began:
            self._began = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.tokens += batch["input_ids"].numel() * trainer.world_size
        now = time.monotonic()
        self.seconds += now - self._began
        self._began = now
        if trainer.fit_loop._should_accumulate() or trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        tokens, seconds = self.tokens - self._window[0], self.seconds - self._window[1]
        self._window = (self.tokens, self.seconds)
        pl_module.log("train/tokens_per_second", tokens / seconds, rank_zero_only=True)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = 0.0

    @property
    def tokens_per_second(self) -> float:
        """The mean since training began in this process."""
        return self.tokens / self.seconds if self.seconds else 0.0
