"""A run from its first step to its report."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from torch import nn

from maskwright.callbacks import Throughput
from maskwright.core.errors import Interrupted, UserError, is_disk_full
from maskwright.core.terminal import console
from maskwright.data.corpus import Corpus
from maskwright.data.labelled import LabelledData
from maskwright.reports import fills, labelled, summary
from maskwright.tasks import MaskedLanguageModeling, Task

_FILLS = 5
BASELINES = {  # what guessing by frequency costs, by the target of the task
    None: "unigram entropy, nats (guessing by frequency)",
    "class": "entropy of the classes, nats (guessing by frequency)",
    "tags": "entropy of the tags, nats (guessing by frequency)",
    "value": "variance, in units of itself (guessing the mean)",
}


@dataclass
class Result:
    """What a run leaves in memory.

    Attributes:
        metrics: the final ones by name, as in summary.json.
        objective: the metric that the config names as its objective; NaN where it was not reached.
    """

    metrics: dict[str, float]
    objective: float
    run_dir: Path
    task: Task
    data: Corpus
    trainer: Trainer


@dataclass
class Run:
    """The parts of a run that is about to begin."""

    config: dict[str, Any]
    run_dir: Path
    task: Task
    data: Corpus
    trainer: Trainer
    began: float  # by time.monotonic
    checkpoint: Path | None

    def introduce(self, beginning: list[str]) -> None:
        """Prints what is about to be trained on what, and from what it begins: changes since the checkpoint that it
        resumes, or the weights of another run that it takes."""
        if not self.trainer.is_global_zero:
            return
        tokens = self.data.tokens
        out = console()
        for split, array in tokens.items():
            out.print(
                f"{split:>10}: {array.documents:,} documents, {array.count:,} tokens, {self.data.size(split)}"
            )
        for remark in self.data.remarks():
            out.print(f"{'note':>10}: {remark}")
        out.print(f"{'baseline':>10}: {BASELINES[self.task.target]} {self.data.baseline:.4f}")
        size = f"{parameters(self.task):,} parameters, {len(self.data.tokenizer):,} tokens"
        out.print(f"{'model':>10}: {type(self.task.encoder).__name__}, {size}")
        out.print(f"{'device':>10}: {self.trainer.strategy.root_device}, precision {self.trainer.precision}")
        if self.checkpoint is not None:
            out.print(f"{'resuming':>10}: {self.checkpoint}")
        for line in beginning:
            out.print(f"{'weights' if self.checkpoint is None else 'changed':>10}: {line}")
        for logger in self.trainer.loggers:
            if not isinstance(logger, CSVLogger):  # config.yaml stands beside metrics.csv already
                logger.log_hyperparams(self.config)

    def execute(self) -> Result:
        """Fits, tests and reports; whatever ends it is recorded in summary.json."""
        metrics: dict[str, float] = {}
        try:
            ckpt_path = None if self.checkpoint is None else str(self.checkpoint)
            self.trainer.fit(self.task, datamodule=self.data, ckpt_path=ckpt_path, weights_only=True)
            metrics |= self._metrics()
            metrics |= self._test()
            self._report(metrics)
        except BaseException as error:
            stopped = isinstance(error, (Interrupted, KeyboardInterrupt, SystemExit))
            if is_disk_full(error):
                raise UserError(
                    f"No space left on the device of run_dir={self.run_dir}. Free some, or point "
                    "hydra.run.dir to another device. Checkpoints written before are whole."
                ) from error
            self._summarise("interrupted" if stopped else "failed", metrics | self._metrics(), str(error))
            self._finish_wandb(exit_code=1)
            raise
        self._summarise("completed", metrics)
        self._finish_wandb(exit_code=0)
        objective = metrics.get(self.config["objective"], float("nan"))
        return Result(metrics, objective, self.run_dir, self.task, self.data, self.trainer)

    def _finish_wandb(self, exit_code: int) -> None:
        """Closes the run with W&B, which the next run of a sweep in this process would go on with."""
        for logger in self.trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish(exit_code=exit_code)

    def _test(self) -> dict[str, float]:
        """Test metrics of the best checkpoint, or of the last weights where none was kept."""
        best = getattr(self.trainer.checkpoint_callback, "best_model_path", "") or None
        if best is not None:
            state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
            self.task.load_state_dict(state)
        [metrics] = self.trainer.test(self.task, datamodule=self.data, verbose=False)
        return {name: float(value) for name, value in metrics.items()}

    def _metrics(self) -> dict[str, float]:
        metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        checkpoints = self.trainer.checkpoint_callback
        if checkpoints is not None and getattr(checkpoints, "best_model_score", None) is not None:
            metrics[f"best/{checkpoints.monitor}"] = float(checkpoints.best_model_score)  # type: ignore[attr-defined]
        return metrics

    def _summarise(self, status: str, metrics: dict[str, float], error: str | None = None) -> None:
        if not self.trainer.is_global_zero:
            return
        speed = next((c for c in self.trainer.callbacks if isinstance(c, Throughput)), None)  # type: ignore[attr-defined]
        tokens = self.data.tokens
        step = self.trainer.global_step
        written = {
            "status": status,
            "error": error,
            "metrics": metrics,
            "baseline": self.data.baseline,
            "counts": {
                "steps": step,
                "epochs": step / self.data.steps(1),
                "parameters": parameters(self.task),
                "vocabulary": len(self.data.tokenizer),
                "documents": {split: array.documents for split, array in tokens.items()},
                "tokens": {split: array.count for split, array in tokens.items()},
            },
            "seconds": {
                "preparation": self.data.seconds,
                "training": speed.seconds if speed else None,
                "total": time.monotonic() - self.began,
            },
            "stopped_early": self._stopped_early(),
            "resumed_from": None if self.checkpoint is None else str(self.checkpoint),
        }
        written |= speed.summary() if speed else {}
        summary.write(self.run_dir, written | summary.circumstances())

    def _stopped_early(self) -> str | None:
        """Why the run ended before its last step, where a callback wanted it to."""
        reasons = (getattr(c, "stopping_reason_message", None) for c in self.trainer.callbacks)  # type: ignore[attr-defined]
        return next((reason for reason in reasons if reason), None)

    def _report(self, metrics: dict[str, float]) -> None:
        if not self.trainer.is_global_zero:
            return
        out = console()
        if reason := self._stopped_early():
            out.print(f"Stopped early: {reason}")
        if isinstance(self.task, MaskedLanguageModeling):
            self._show_fills(self.task, metrics)
        else:
            assert isinstance(self.data, LabelledData)
            labelled.report(self.task, self.data, "test", metrics, self.run_dir)  # type: ignore[arg-type]
        out.print(f"Everything is in {self.run_dir}")

    def _show_fills(self, task: MaskedLanguageModeling, metrics: dict[str, float]) -> None:
        out = console()
        out.print(
            f"\nTest: loss {metrics['test/loss']:.4f} nats, perplexity {metrics['test/perplexity']:.2f}, "
            f"masked accuracy {metrics['test/accuracy']:.2%}   "
            f"(baseline: {BASELINES[None]} {self.data.baseline:.4f})"
        )
        documents = self.data.documents["test"]
        texts = (row["text"] for row in documents)
        each = -(-_FILLS // len(documents))
        if filled := fills.fill(task, self.data.tokenizer, texts, _FILLS, each):
            out.print(fills.table(filled))


def parameters(module: nn.Module) -> int:
    """Number of weights, shared ones counted once."""
    return sum(parameter.numel() for parameter in module.parameters())
