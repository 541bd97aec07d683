"""What all tasks share: progress, dropout, the optimizer and its schedule."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from maskwright.core import hashing
from maskwright.models.layers.varlen_attention import Sequences, runs_flash

MASKERS = ("masker.", "evaluation_masker.")  # how the names of what they have learned begin


class Task(LightningModule):
    """An encoder that learns something.

    Attributes:
        target: what the task's data has to hold: None for text alone, else see `LabelledData`.
        metrics: the names of what an evaluation tells.
    Args:
        encoder: `forward(input_ids, attention, positions) -> (B, K, H)`.
        optimizer: from a module to its optimizer.
        schedule: from the run's progress in [0, 1] to the factor on the learning rate.
        seed: of dropout.
        cross_document_attention: whether documents packed into one block see each other.
        hyperparameters: plain containers, kept in the checkpoints.
    """

    target: str | None = None
    metrics: tuple[str, ...] = ()

    def __init__(
        self,
        encoder: nn.Module,
        optimizer: Callable[[nn.Module], Optimizer],
        schedule: Callable[[float], float],
        seed: int,
        cross_document_attention: bool = True,
        hyperparameters: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.encoder = encoder
        self.optimizer, self.schedule = optimizer, schedule
        self.seed, self.cross_document_attention = seed, cross_document_attention
        self.save_hyperparameters(hyperparameters or {}, logger=False)

    @cached_property
    def has_dropout(self) -> bool:
        """Whether a training step draws random numbers."""
        # of modules that are no nn.Dropout, recurrent layers draw too, and heads of other libraries
        return any(
            isinstance(p := getattr(m, "p", getattr(m, "dropout", 0)), float) and p > 0 for m in self.modules()
        )

    def progress(self, step: float | None = None) -> float:
        """The share of the run that is done, in [0, 1].

        Of `trainer.max_steps`, at `step` or at the current one; or, where that is -1, of
        `trainer.max_time`, by its clock.
        """
        trainer = self.trainer
        if trainer.max_steps > 0:
            return min((trainer.global_step if step is None else step) / trainer.max_steps, 1.0)
        timer = next(c for c in trainer.callbacks if isinstance(c, Timer))  # type: ignore[attr-defined]
        elapsed, remaining = timer.time_elapsed(), timer.time_remaining()
        assert remaining is not None  # max_time is set where max_steps is not
        share = min(elapsed / (elapsed + remaining), 1.0)
        # clocks differ between devices, learning rates must not
        return trainer.strategy.broadcast(share) if trainer.world_size > 1 else share

    def attention(self, batch: dict[str, Tensor]) -> Tensor | Sequences | None:
        """Who may see whom: None where all see all; else (B, T), or, with documents kept apart, their
        `Sequences` where flash attention runs and (B, T, T) where it does not."""
        if self.cross_document_attention:
            return batch.get("attention_mask")
        documents = batch["documents"]
        if (
            "sequence_ends" in batch
            and not self.has_dropout
            and runs_flash(documents.device, getattr(self.encoder, "head_size", 1))
        ):
            return Sequences(batch["sequence_ends"], documents.shape[1])
        return documents[:, :, None] == documents[:, None, :]

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        if self.has_dropout:  # dropout is a function of the step too, so that a resumed run draws the same
            micro = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready
            torch.manual_seed(hashing.start(self.seed, micro, self.global_rank))

    def training_flops(self) -> int:
        """Floating-point operations of the last training step's products of matrices, as `forward_flops` counts.

        An encoder that cannot be counted (it looks at its data) has 0.
        """
        raise NotImplementedError

    def log_step(self, loss: Tensor, accuracy: Tensor | None) -> None:
        """Logs a training step."""
        self.log("train/loss", loss)
        if accuracy is not None:
            self.log("train/accuracy", accuracy)
        if (self.trainer.global_step + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            # a number of the host's: copying it to a GPU at each step would make the host wait
            self.log("train/learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"])

    def make_optimizer(self) -> Optimizer:
        """The optimizer of a run that begins."""
        return self.optimizer(self)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = self.make_optimizer()
        # the middle of a step, so that neither the first nor the last has the rate 0
        schedule = LambdaLR(optimizer, lambda step: self.schedule(self.progress(step + 0.5)))
        self._settings = [
            {name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups
        ]
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Lets the config have the last word: a checkpoint brings the settings of its own optimizer along."""
        factor = self.schedule(self.progress(self.trainer.global_step + 0.5))
        for group, settings in zip(self.trainer.optimizers[0].param_groups, self._settings, strict=True):
            group.update(settings)
            group["lr"] = settings["initial_lr"] * factor
        self.lr_schedulers().base_lrs = [settings["initial_lr"] for settings in self._settings]  # type: ignore[union-attr]

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips the norm; Lightning itself refuses to where a fused optimizer meets mixed precision."""
        if not gradient_clip_val:
            return
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)  # a fused optimizer leaves that to its step, which comes later
        torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Fits a checkpoint to a run whose settings are not those of the run that wrote it."""
        # what a masker has learned goes on where it is of use, and else starts anew
        saved, own = checkpoint["state_dict"], self.state_dict()
        for name in [name for name in {**saved, **own} if name.startswith(MASKERS)]:
            if name not in own:
                del saved[name]
            elif name not in saved or saved[name].shape != own[name].shape:
                saved[name] = own[name]
        # micro-batches are counted anew where the run cuts its steps into another number of pieces
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        ready = checkpoint["global_step"] * self.trainer.accumulate_grad_batches
        for counts in (progress["total"], progress["current"]):
            behind = {name: counts["ready"] - counts[name] for name in ("started", "processed", "completed")}
            counts["ready"] = ready
            counts.update({name: ready - lag for name, lag in behind.items()})
