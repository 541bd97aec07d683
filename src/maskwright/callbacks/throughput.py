"""Measures how fast a run trains, and what limits it."""

import time
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer

from maskwright.core.distributed import rank_of
from maskwright.models.flops import matmul_rate
from maskwright.tasks import Task

_TYPES = {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}


class Throughput(Callback):
    """Logs the speed of the steps since metrics were last logged, without validation.

    - `train/tokens_per_second`: over all devices, padding included.
    - `train/utilization`: the share of the time that the matrix products of the model would take alone, at the rate
      of matrix products that is measured on the device before the first step.
    - `train/data_wait`: the share of the time that was spent waiting for the loader.
    - `train/padding`: the share of the positions that are padding.

    Attributes:
        tokens: positions trained on so far in this process, padding included, over all devices.
        seconds: the time that these took.
        waited: the part of `seconds` that was spent waiting for the loader.
    """

    def __init__(self) -> None:
        self.tokens, self.seconds, self.waited = 0, 0.0, 0.0
        self.matmul_rate = 0.0  # FLOP/s of one device
        self._flops = 0.0
        self._padding: torch.Tensor | int = 0
        self._window = (0, 0.0, 0.0, 0.0, 0)
        self._began, self._loader_waited = 0.0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = 0.0
        dtype = next((kind for name, kind in _TYPES.items() if trainer.precision.startswith(name)), torch.float32)
        self.matmul_rate = matmul_rate(pl_module.device, dtype)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if not self._began:
            self._began, self._loader_waited = time.monotonic(), _loader_waited(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.tokens += batch["input_ids"].numel() * rank_of(trainer).world_size
        self._flops += cast(Task, pl_module).training_flops()
        if "attention_mask" in batch:
            self._padding = self._padding + (~batch["attention_mask"]).sum() * rank_of(trainer).world_size
        now = time.monotonic()
        self.seconds += now - self._began
        self._began = now
        loader_waited = _loader_waited(trainer)
        self.waited += loader_waited - self._loader_waited
        self._loader_waited = loader_waited
        if trainer.fit_loop._should_accumulate() or trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        reached = (self.tokens, self.seconds, self._flops, self.waited, int(self._padding))
        tokens, seconds, flops, waited, padding = (
            now - before for now, before in zip(reached, self._window, strict=True)
        )
        self._window = reached
        values = {
            "tokens_per_second": tokens / seconds,
            "utilization": flops / seconds / self.matmul_rate,
            "data_wait": waited / seconds,
            "padding": padding / tokens,
        }
        pl_module.log_dict({f"train/{name}": value for name, value in values.items()}, rank_zero_only=True)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = 0.0

    def summary(self) -> dict[str, float]:
        """Returns tokens per second, utilization, and the shares of waiting and padding, in this process."""
        return {
            "tokens_per_second": self.tokens_per_second,
            "utilization": self._flops / self.seconds / self.matmul_rate if self.seconds else 0.0,
            "data_wait": self.waited / self.seconds if self.seconds else 0.0,
            "padding": int(self._padding) / self.tokens if self.tokens else 0.0,
        }

    @property
    def tokens_per_second(self) -> float:
        """The mean over the training in this process."""
        return self.tokens / self.seconds if self.seconds else 0.0


def _loader_waited(trainer: Trainer) -> float:
    """Returns the seconds spent waiting for the training loader; 0 for loaders that do not count them."""
    return getattr(trainer.train_dataloader, "waited", 0.0)
