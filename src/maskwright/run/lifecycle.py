"""A run from its first step to its report."""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning import Trainer
from torch import nn

from maskwright import loggers
from maskwright.callbacks import Throughput, WholeCheckpoints, time_is_up
from maskwright.core import sharding
from maskwright.core.distributed import failure_elsewhere, is_lost_connection, is_main
from maskwright.core.errors import Interrupted, Pruned, UserError, is_disk_full
from maskwright.core.terminal import console
from maskwright.data.corpus import Corpus
from maskwright.loggers import Description
from maskwright.reports import summary
from maskwright.run.machine import remark_on_precision
from maskwright.run.saved import SavedRun
from maskwright.settings.commands import TrainSettings
from maskwright.tasks import Baseline, Task


@dataclass
class Outcome:
    """What a finished run leaves.

    Attributes:
        metrics: the final metrics by name, as in summary.json.
        objective: the metric that the config names as its objective; NaN if the run did not compute it.
    """

    metrics: dict[str, float]
    objective: float
    run_dir: Path


@dataclass
class Result(Outcome):
    """What a finished run leaves, with its objects in memory."""

    task: Task
    data: Corpus
    trainer: Trainer


def outcome(settings: TrainSettings, metrics: dict[str, float]) -> Outcome:
    """Returns the outcome of a run with these settings and metrics."""
    return Outcome(metrics, metrics.get(settings.objective, float("nan")), Path(settings.run_dir))


@dataclass
class Run:
    """A run that is about to begin.

    Attributes:
        baseline: the loss to compare with.
        began: when the program began, by time.monotonic.
        checkpoint: the checkpoint that the run resumes from.
    """

    settings: TrainSettings
    run_dir: Path
    task: Task
    data: Corpus
    trainer: Trainer
    baseline: Baseline | None
    began: float
    checkpoint: SavedRun | None

    def introduce(self, begins_with: Sequence[str]) -> None:
        """Prints which model is about to be trained on which data.

        Args:
            begins_with: what has changed since the checkpoint that the run resumes from, or the weights that it
                starts from, one line each.
        """
        if not is_main(self.trainer):
            return
        out = console()
        for split, tokens in self.data.tokens.items():
            out.print(
                f"{split:>10}: {tokens.documents:,} documents, {tokens.count:,} tokens, {self.data.size(split)}"
            )
        for remark in self.data.remarks():
            out.print(f"{'note':>10}: {remark}")
        if self.baseline is not None:
            out.print(f"{'baseline':>10}: {self.baseline.name} {self.baseline.value:.4f}")
        size = f"{parameters(self.task):,} parameters, {len(self.data.tokenizer):,} tokens"
        out.print(f"{'model':>10}: {type(self.task.encoder).__name__}, {size}")
        device, precision = self.trainer.strategy.root_device, str(self.trainer.precision)
        out.print(f"{'device':>10}: {device}, precision {precision}")
        if said := remark_on_precision(self.settings.hardware.precision, precision, device):
            out.print(f"{'note':>10}: {said}")
        if self.checkpoint is not None:
            out.print(f"{'resuming':>10}: {self.checkpoint.checkpoint}")
        for line in begins_with:
            out.print(f"{'weights' if self.checkpoint is None else 'changed':>10}: {line}")

    def execute(self, description: Description | None = None) -> Result:
        """Fits, tests and reports. However the run ends, summary.json and the loggers record it.

        Args:
            description: for the loggers; None in the processes beside the first one.
        """
        metrics: dict[str, float] = {}
        try:
            if description is not None:
                loggers.begin(self.trainer, description, self.settings.plain())
            ckpt_path = None if self.checkpoint is None else str(self.checkpoint.checkpoint)
            self.trainer.fit(self.task, datamodule=self.data, ckpt_path=ckpt_path, weights_only=True)
            for missing in self._missing_checkpoints():
                raise missing
            metrics |= self._metrics()
            metrics |= self._test()
            with sharding.whole_weights(self.task):
                self._report(metrics)
        except BaseException as error:
            if is_lost_connection(error) and (elsewhere := failure_elsewhere()) is not None:
                error = UserError(f"Another process of the run failed, {elsewhere}")
            stopped = isinstance(error, (Interrupted, KeyboardInterrupt, SystemExit))
            for missing in self._missing_checkpoints() if stopped else ():
                error, stopped = missing, False
            how = "interrupted" if stopped else "pruned" if isinstance(error, Pruned) else "failed"
            self._end(how, metrics | self._metrics(), error)
            if is_disk_full(error):
                raise UserError(
                    f"No space left on the device of run_dir={self.run_dir}. Free some, or point "
                    "hydra.run.dir to another device. Checkpoints written before are whole."
                ) from error
            raise error
        self._end("completed", metrics)
        found = outcome(self.settings, metrics)
        return Result(**vars(found), task=self.task, data=self.data, trainer=self.trainer)

    def _end(self, status: str, metrics: dict[str, float], error: BaseException | None = None) -> None:
        """Writes the summary, if there is space for it, and tells the loggers."""
        told = None if error is None else str(error)
        requeued = isinstance(error, Interrupted) and error.signal != signal.SIGINT
        try:
            if not is_disk_full(error):
                self._summarise(status, metrics, told)
        finally:
            best = {name: value for name, value in metrics.items() if name.startswith("best/")}
            loggers.finish(self.trainer, status, {"status": status, "error": told, **best}, requeued)

    def _missing_checkpoints(self) -> list[Exception]:
        """Returns why checkpoints have not been written, where a full disk has kept them from it."""
        writer = self.trainer.strategy.checkpoint_io
        return list(writer.missing.values()) if isinstance(writer, WholeCheckpoints) else []

    def _test(self) -> dict[str, float]:
        """Returns the test metrics of the best checkpoint, or of the last weights if no checkpoint was kept.

        There are none where the test split has no labels.
        """
        if "test" in self.data.unlabelled:
            return {}
        best = getattr(self.trainer.checkpoint_callback, "best_model_path", "")
        if best:
            state = SavedRun.open(best, "run_dir").saved["state_dict"]
            self.task.fit_maskers(state)  # it may be older than the masks of this run
            sharding.load(self.task, state)
        [metrics] = self.trainer.test(self.task, datamodule=self.data, verbose=False)
        return {name: float(value) for name, value in metrics.items()}

    def _metrics(self) -> dict[str, float]:
        metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        checkpoints = self.trainer.checkpoint_callback
        if self.checkpoint is not None and self.checkpoint.step == self.trainer.global_step:
            metrics = getattr(checkpoints, "metrics", {}) | metrics  # nothing was left to train
        if checkpoints is not None and getattr(checkpoints, "best_model_score", None) is not None:
            metrics[f"best/{checkpoints.monitor}"] = float(checkpoints.best_model_score)  # type: ignore[attr-defined]
        return metrics

    def _summarise(self, status: str, metrics: dict[str, float], error: str | None = None) -> None:
        if not is_main(self.trainer):
            return
        speed = next((c for c in self.trainer.callbacks if isinstance(c, Throughput)), None)  # type: ignore[attr-defined]
        written = {
            "status": status,
            "error": error,
            "metrics": metrics,
            "baseline": None if self.baseline is None else self.baseline.value,
            "counts": self._counts(),
            "seconds": {
                "preparation": self.data.seconds,
                "training": speed.seconds if speed else None,
                "total": time.monotonic() - self.began,
            },
            "stopped_early": self._stopped_early(),
            "ended_by_max_time": time_is_up(self.trainer),
            "resumed_from": None if self.checkpoint is None else str(self.checkpoint.checkpoint),
        }
        written |= speed.summary() if speed else {}
        summary.write(self.run_dir, written | summary.circumstances())

    def _counts(self) -> dict[str, Any]:
        step, tokens = self.trainer.global_step, self.data.tokens
        return {
            "steps": step,
            "epochs": step / self.data.steps(1),
            "parameters": parameters(self.task),
            "vocabulary": len(self.data.tokenizer),
            "documents": {split: array.documents for split, array in tokens.items()},
            "tokens": {split: array.count for split, array in tokens.items()},
        }

    def _stopped_early(self) -> str | None:
        """Returns why a callback ended the run before its last step; None if no callback did."""
        reasons = (getattr(c, "stopping_reason_message", None) for c in self.trainer.callbacks)  # type: ignore[attr-defined]
        return next((reason for reason in reasons if reason), None)

    def _report(self, metrics: dict[str, float]) -> None:
        if not is_main(self.trainer):
            return
        if reason := self._stopped_early():
            console().print(f"Stopped early: {reason}")
        elif time_is_up(self.trainer):
            console().print(
                f"trainer.max_time={self.settings.trainer.max_time} ended the training after step "
                f"{self.trainer.global_step}."
            )
        if "test" not in self.data.unlabelled:
            self.task.report("test", metrics, self.data, self.run_dir)
        console().print(f"Everything is in {self.run_dir}")


def parameters(module: nn.Module) -> int:
    """Returns the number of parameters; shared ones count once."""
    return sum(parameter.numel() for parameter in module.parameters())
