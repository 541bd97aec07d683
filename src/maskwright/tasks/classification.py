"""One class, or one number, for a text."""

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.functional import (
    mean_absolute_error,
    pearson_corrcoef,
    r2_score,
    spearman_corrcoef,
)
from torchmetrics.functional.classification import multiclass_confusion_matrix

from maskwright.models.layers.pooling import Pool, Pooling
from maskwright.tasks.labelled import LabelledTask, linear, weigh


class TextTask(LabelledTask):
    """Answers numbers for a text.

    Args:
        outputs: how many.
        pooling: see `Pool`.
        dropout: of the pooled vector.
        task: see `LabelledTask`.
    Attributes:
        predicted: after an evaluation, `texts`, `outputs` (D, O) and `targets` (D,), one entry a text.
    """

    def __init__(self, outputs: int, pooling: Pooling = "mean", dropout: float = 0.1, **task: Any):
        super().__init__(**task)
        self.pool = Pool(self.encoder.hidden_size, pooling)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(dropout)
        self.output = linear(self.encoder.hidden_size, outputs)  # type: ignore[arg-type]

    def forward(self, batch: dict[str, Tensor], input_ids: Tensor | None = None) -> Tensor:
        """(B, O) of a batch, whose ids may be others than its own: masked ones."""
        input_ids = batch["input_ids"] if input_ids is None else input_ids
        first = input_ids.new_zeros(len(input_ids), 1) if self.pool.kind == "cls" else None
        hidden = self.encoder(input_ids, batch.get("attention_mask"), first)
        return self.output(self.dropout(self.pool(hidden, batch.get("attention_mask"))))

    def per_text(self, seen: list[np.ndarray]) -> dict[str, np.ndarray]:
        """The mean outputs and the targets of each text, whose windows lie in rows of their own."""
        texts, outputs, targets = seen
        own, first, of = np.unique(texts.astype(np.int64), return_index=True, return_inverse=True)
        total = np.zeros((len(own), outputs.shape[1]))
        np.add.at(total, of, outputs)
        return {"texts": own, "outputs": total / np.bincount(of)[:, None], "targets": targets[first]}


class Classification(TextTask):
    """Tells the class of a text.

    Args:
        names: of the C classes.
        class_counts: (C,) how often each occurs in training.
        class_weights: of each class in the training loss, see `weigh`.
        label_smoothing: share of the target that is spread over all classes.
        task: see `TextTask`.
    Raises:
        ValueError: there are not as many weights as classes, or one is not above 0.
    """

    target = "class"
    metrics: tuple[str, ...] = ("loss", "accuracy", "precision", "recall", "f1", "f1_micro")

    def __init__(
        self,
        names: list[str],
        class_counts: list[int],
        class_weights: list[float] | Literal["balanced"] | None = None,
        label_smoothing: float = 0.0,
        **task: Any,
    ):
        super().__init__(outputs=len(names), **task)
        self.names, self.label_smoothing = names, label_smoothing
        self.register_buffer("class_weights", weigh(class_weights, names, class_counts), persistent=False)

    def score(self, batch: dict[str, Tensor], input_ids: Tensor) -> tuple[Tensor, Tensor]:
        logits = self(batch, input_ids).float()
        weights: Tensor | None = self.class_weights  # type: ignore[assignment]
        loss = F.cross_entropy(logits, batch["targets"], weights, label_smoothing=self.label_smoothing)
        return loss, logits.argmax(1) == batch["targets"]

    def predict_batch(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return batch["texts"], self(batch).float().softmax(dim=1), batch["targets"]

    def measure(self, split: str, seen: list[np.ndarray]) -> dict[str, float]:
        self.predicted = self.per_text(seen)
        outputs, targets = self.predicted["outputs"], self.predicted["targets"].astype(np.int64)
        accuracy = float((outputs.argmax(1) == targets).mean())
        likelihood = outputs[np.arange(len(targets)), targets]
        scores = class_scores(torch.tensor(outputs.argmax(1)), torch.tensor(targets), len(self.names))
        per_class = {
            f"{name}/{label}": value
            for name in ("precision", "recall", "f1")
            for label, value in zip(self.names, scores[name], strict=True)
        }
        return {
            "loss": float(-np.log(np.maximum(likelihood, 1e-30)).mean()),
            "accuracy": accuracy,
            **macro(scores),
            "f1_micro": accuracy,  # of one class a text they are the same
            **per_class,
        }


def class_scores(predicted: Tensor, targets: Tensor, classes: int) -> dict[str, list[Any]]:
    """Precision, recall and F1 of each class, 0 where nothing of it was predicted or there is nothing of it.

    Returns:
        Those, and `confusion`, (C, C): how many of the row's class were taken for the column's.
    """
    confusion = multiclass_confusion_matrix(predicted, targets, classes).double()
    right, given, there = confusion.diag(), confusion.sum(0), confusion.sum(1)
    precision, recall = right / given.clamp(min=1), right / there.clamp(min=1)
    f1 = 2 * right / (given + there).clamp(min=1)
    return {
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "confusion": confusion.long().tolist(),
    }


def macro(scores: dict[str, list[Any]]) -> dict[str, float]:
    """The mean precision, recall and F1 of the classes that occur, or were predicted, as scikit-learn has them.

    Args:
        scores: of `class_scores`.
    """
    confusion = np.array(scores["confusion"])
    there = (confusion.sum(0) + confusion.sum(1)) > 0
    return {name: float(np.mean(np.array(scores[name])[there])) for name in ("precision", "recall", "f1")}


class Regression(TextTask):
    """Tells a number about a text.

    Args:
        values: see `set_units`.
        task: see `TextTask`.
    """

    target = "value"
    metrics: tuple[str, ...] = ("loss", "rmse", "mae", "r2", "pearson", "spearman")

    def __init__(self, values: list[float], **task: Any):
        super().__init__(outputs=1, **task)
        self.set_units(values)

    def set_units(self, values: list[float]) -> None:
        """Takes the units that the model learns in: mean and standard deviation of the training split's numbers."""
        self.mean, self.deviation = values[0], values[1] or 1.0

    def score(self, batch: dict[str, Tensor], input_ids: Tensor) -> tuple[Tensor, Tensor]:
        wanted = (batch["targets"] - self.mean) / self.deviation
        loss = F.mse_loss(self(batch, input_ids)[:, 0].float(), wanted)
        return loss, wanted.new_zeros(0)

    def predict_batch(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return batch["texts"], self(batch).float() * self.deviation + self.mean, batch["targets"]

    def measure(self, split: str, seen: list[np.ndarray]) -> dict[str, float]:
        self.predicted = self.per_text(seen)
        # those of batches are rounded where a run computes in bfloat16 alone
        self.predicted["targets"] = self.trainer.datamodule.rows[split].targets[self.predicted["texts"]]  # type: ignore[attr-defined]
        predicted, targets = torch.tensor(self.predicted["outputs"][:, 0]), torch.tensor(self.predicted["targets"])
        predicted, targets = predicted.double(), targets.double()
        squared = ((predicted - targets) ** 2).mean()
        values = {
            "loss": squared / self.deviation**2,
            "rmse": squared.sqrt(),
            "mae": mean_absolute_error(predicted, targets),
        }
        if len(targets) > 1:
            values |= {
                "r2": r2_score(predicted, targets),
                "pearson": pearson_corrcoef(predicted, targets),
                "spearman": spearman_corrcoef(predicted, targets),
            }
        return {name: float(value) for name, value in values.items()}
