"""How a run ends: at its last step, by Ctrl-C, or by a loss that is not finite."""

import math
import signal
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer
from torch import Tensor

from maskwright.core.distributed import largest
from maskwright.core.errors import Interrupted, UserError
from maskwright.core.sharding import local
from maskwright.core.signals import ENDING, of_submitit


class ValidateAtEnd(Callback):
    """Validates, and therefore saves, after the last step, even if no validation interval ends there."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.global_step >= trainer.max_steps > 0:
            trainer.should_stop = True


class StayStopped(Callback):
    """Ends a resumed run at once if early stopping had ended it before it was killed."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping) and callback.wait_count >= callback.patience:
                trainer.should_stop = True


class ValidateBetweenSteps(Callback):
    """Keeps a validation by time from falling between the micro-batches of a step, where no checkpoint is exact."""

    def __init__(self) -> None:
        self._interval: float | None = None  # in seconds; None validates by steps

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._interval = getattr(trainer, "_val_check_time_interval", None)  # of Lightning 2.6

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self._interval is not None:
            within = trainer.fit_loop._should_accumulate()
            trainer._val_check_time_interval = math.inf if within else self._interval  # type: ignore[attr-defined]


def time_is_up(trainer: Trainer) -> bool:
    """Returns whether `trainer.max_time` ended the training, and no other limit did before."""
    if trainer.global_step >= trainer.max_steps > 0:
        return False
    clock = next((c for c in trainer.callbacks if isinstance(c, Timer)), None)  # type: ignore[attr-defined]
    left = None if clock is None else clock.time_remaining()
    return left is not None and left <= 0


class Interrupt(Callback):
    """Finishes the step on Ctrl-C, SIGTERM, SIGUSR1 or SIGUSR2, saves a checkpoint and raises `Interrupted`.

    A second signal stops at once. The checkpoint is exact because it is saved between two steps; within a step,
    only some of the weights may have been updated.

    Args:
        path: where the checkpoint is written.
    """

    def __init__(self, path: Path):
        self.path = path
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._validated = -1  # the step of the last validation

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # after Lightning's own handlers, which broadcast within the handler, where other ranks do not wait for it
        for number in ENDING:
            if number == signal.SIGTERM and of_submitit(signal.getsignal(number)):
                continue  # Slurm sends it beside the signal on which submitit starts the job again
            self._before[number] = signal.signal(number, self._receive)

    def _receive(self, number: int, frame: Any) -> None:
        self.received = signal.Signals(number)
        self._restore()
        print(f"\n{self.received.name}: finishing the current step; a second one stops at once.", flush=True)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.fit_loop._should_accumulate() or not self._agreed():
            return
        if trainer.should_stop or trainer.global_step >= trainer.max_steps > 0:
            return  # the last validation comes first, since a resumed run would not make up for it
        trainer.save_checkpoint(self.path)
        self._stop(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated = trainer.global_step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        # for a signal during validation, which has written a checkpoint at its end
        if self._validated == trainer.global_step and self._agreed() and self.path.exists():
            self._stop(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._agreed():
            self._stop(trainer)

    def _agreed(self) -> bool:
        """Whether any rank has received a signal; then all have."""
        if number := largest(self.received or 0):
            self.received = signal.Signals(number)
        return bool(number)

    def _stop(self, trainer: Trainer) -> None:
        assert self.received is not None
        raise Interrupted(
            f"Stopped by {self.received.name} after step {trainer.global_step}. "
            f"Continue with the same command and ckpt_path={self.path}",
            self.received,
        )

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._restore()


class NonFiniteLossError(UserError):
    """The training loss became infinite or NaN."""


class FiniteLoss(Callback):
    """Stops a run whose loss is no longer finite, before such weights are saved.

    On a GPU, the losses are checked only at the logging interval, so that the host need not wait for the device at
    each step. The step that is reported is the first with a bad loss nevertheless.

    Args:
        last_good: the checkpoint that the message names, if it exists.
    """

    def __init__(self, last_good: Path):
        self.last_good = last_good
        self.first_bad: Tensor | None = None  # the first step with a bad loss; -1 if there is none

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
        """Prevents saving weights that the last step has made infinite or NaN."""
        self._check()
        finite = torch.stack([local(parameter).isfinite().all() for parameter in pl_module.parameters()]).all()
        if largest(int(not finite)):  # of sharded weights, each rank sees its own
            self._refuse(f"The weights are not finite after step {trainer.global_step}.")

    def _check(self) -> None:
        step = largest(-1 if self.first_bad is None else int(self.first_bad))
        if step >= 0:
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
