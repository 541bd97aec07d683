"""How a run ends: at its last step, by Ctrl-C, or by a loss that is no number."""

import signal
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from maskwright.core.errors import Interrupted, UserError


class ValidateAtEnd(Callback):
    """Validates, and so saves, after the last step even where the interval does not end there."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step >= trainer.max_steps > 0:
            trainer.should_stop = True


class Interrupt(Callback):
    """On Ctrl-C or SIGTERM finishes the step, saves a checkpoint and raises `Interrupted`.

    A second signal stops at once. Stopping between steps is what makes the checkpoint exact: in the
    middle of one, half of the weights would be updated.

    Args:
        path: where the checkpoint is written.
    """

    def __init__(self, path: Path):
        self.path = path
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._validated = -1  # the step at which validation ended last

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        self.received = signal.Signals(number)
        self._restore()
        print(f"\n{self.received.name}: finishing what is under way; once more stops at once.", flush=True)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self.received is not None and not trainer.fit_loop._should_accumulate():
            trainer.save_checkpoint(self.path)
            self._stop(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = trainer.global_step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        # a signal that came during validation, at whose end a checkpoint was written
        if self.received is not None and self._validated == trainer.global_step and self.path.exists():
            self._stop(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.received is not None:
            self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        assert self.received is not None
        raise Interrupted(
            f"Stopped by {self.received.name} behind step {trainer.global_step}. "
            f"Go on with the same command and ckpt_path={self.path}",
            self.received,
        )

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._restore()


class NonFiniteLossError(UserError):
    """The training loss became infinite or not a number."""


class FiniteLoss(Callback):
    """Stops a run whose loss is no longer a finite number, before anything of it is saved.

    On a GPU the losses are looked at only now and then, so that the host need not wait for the device
    at each step; what is reported is the first bad step all the same.

    Args:
        last_good: the checkpoint that the message names, if it exists.
    """

    def __init__(self, last_good: Path):
        self.last_good = last_good
        self.first_bad: Tensor | None = None  # the first step with a bad loss, -1 where there is none

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        loss = outputs["loss"]
        if self.first_bad is None:
            self.first_bad = torch.full((), -1, device=loss.device)
        bad = ~torch.isfinite(loss) & (self.first_bad < 0)
        self.first_bad = torch.where(bad, trainer.global_step, self.first_bad)
        if loss.device.type == "cpu" or trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._check()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keeps a checkpoint from being written whose weights the last step has ruined."""
        self._check()
        if not torch.stack([parameter.isfinite().all() for parameter in pl_module.parameters()]).all():
            self._refuse(f"The weights are not finite behind step {trainer.global_step}.")

    def _check(self) -> None:
        if self.first_bad is not None and (step := int(self.first_bad)) >= 0:
            self._refuse(f"The training loss is not finite at step {step}.")

    def _refuse(self, found: str) -> None:
        kept = (
            f"The last good checkpoint is {self.last_good}."
            if self.last_good.exists()
            else "No checkpoint had been saved before."
        )
        raise NonFiniteLossError(
            f"{found} {kept} Try a lower optimizer.lr, a longer schedule.warmup, or hardware.precision=32-true."
        )
