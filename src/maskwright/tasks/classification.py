"""Text classification."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from maskwright.core.types import Share
from maskwright.data.corpus import Corpus
from maskwright.data.predicted import row_of_class
from maskwright.loggers import picture
from maskwright.reports import confusion, predictions
from maskwright.tasks.class_weights import ClassWeights, weigh
from maskwright.tasks.spec import Metric
from maskwright.tasks.text import TextTask

_SCORES = ("precision", "recall", "f1")


class Classification(TextTask):
    """Predicts the class of a text.

    Args:
        labels: the names of the C classes.
        class_weights: the weight of each class in the training loss, see `weigh`.
        label_smoothing: the share of the target probability that is spread over all classes.
        task: see `TextTask`.
    Raises:
        ValueError: there are not as many weights as classes, or one is not above 0.
    """

    label_kind = "class"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("loss", "min"),
        Metric("accuracy", "max"),
        *(Metric(name, "max", of_labels=True) for name in _SCORES),
        Metric("f1_micro", "max"),
        Metric("matthews", "max"),
    )
    primary = "accuracy"
    baseline_name = "entropy of the classes, nats (guessing by frequency)"

    def __init__(self, class_weights: ClassWeights = None, label_smoothing: Share = 0.0, **task: Any):
        super().__init__(outputs=len(task["labels"].names), **task)
        self.label_smoothing = label_smoothing
        self.register_buffer("class_weights", weigh(class_weights, self.labels), persistent=False)

    def score(self, batch: dict[str, Tensor], input_ids: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.forward(batch, input_ids).float()
        weights: Tensor | None = self.class_weights  # type: ignore[assignment]
        loss = F.cross_entropy(logits, batch["targets"], weights, label_smoothing=self.label_smoothing)
        return loss, logits.argmax(1) == batch["targets"]

    def label_weight(self, batch: dict[str, Tensor]) -> Tensor:
        weights: Tensor | None = self.class_weights  # type: ignore[assignment]
        return super().label_weight(batch) if weights is None else weights[batch["targets"]].sum()

    def outputs(self, batch: dict[str, Tensor]) -> Tensor:
        return self.forward(batch).float().softmax(dim=1)

    def shown(self, predicted: dict[str, np.ndarray]) -> list[dict[str, Any]]:
        return [row_of_class(self.labels.names, outputs) for outputs in predicted["outputs"]]

    def measure(self, seen: list[np.ndarray]) -> dict[str, float]:
        self.predicted = self.collect(seen)
        outputs, targets = self.predicted["outputs"], self.predicted["targets"]
        accuracy = float((outputs.argmax(1) == targets).mean())
        likelihood = outputs[np.arange(len(targets)), targets]
        scores = self._scores()
        per_class = {
            f"{name}/{label}": value
            for name in _SCORES
            for label, value in zip(self.labels.names, scores[name], strict=True)
        }
        return {
            "loss": float(-np.log(np.maximum(likelihood, 1e-30)).mean()),
            "accuracy": accuracy,
            **macro(scores),
            "f1_micro": accuracy,  # they are equal when each text has one class
            "matthews": matthews(np.array(scores["confusion"])),
            **per_class,
        }

    def _scores(self) -> dict[str, list[Any]]:
        predicted = torch.tensor(self.predicted["outputs"].argmax(1))
        return class_scores(predicted, torch.tensor(self.predicted["targets"]), len(self.labels.names))

    def report(self, split: str, metrics: Mapping[str, float], data: Corpus, folder: Path) -> None:
        """Also prints scores by class and the most confident errors, and writes `predictions.jsonl` and
        `confusion.png`, which is also sent to the loggers."""
        super().report(split, metrics, data, folder)
        names = self.labels.names
        rows = self._rows(data.examples(split))
        predictions.write(rows, folder)
        scores = self._scores()
        by_class = {name: [scores[score][i] for score in _SCORES] for i, name in enumerate(names)}
        counts = np.bincount(self.predicted["targets"], minlength=len(names)).tolist()
        predictions.show_scores("class", by_class, counts)
        matrix = folder / "confusion.png"
        confusion.draw(np.array(scores["confusion"]), names, matrix)
        picture("confusion", matrix, self.trainer)
        wrong = (
            (row["label"], row["predicted"], row["probability"], predictions.shown_text(row))
            for row in rows
            if row["predicted"] != row["label"]
        )
        predictions.show_confident_errors(wrong, self.trainer)

    def _rows(self, examples: list[dict[str, str]]) -> list[dict[str, Any]]:
        names, found = self.labels.names, self.predicted
        return [
            {**examples[number], "label": names[target], **shown}
            for number, target, shown in zip(found["texts"], found["targets"], self.shown(found), strict=True)
        ]


def class_scores(predicted: Tensor, targets: Tensor, classes: int) -> dict[str, list[Any]]:
    """Returns precision, recall and F1 of each class, 0 where the denominator is 0.

    Returns:
        Those, and `confusion`, (C, C): how many examples of the row's class were predicted as the column's.
    """
    matrix = multiclass_confusion_matrix(predicted, targets, classes).double()
    correct, given, actual = matrix.diag(), matrix.sum(0), matrix.sum(1)
    precision, recall = correct / given.clamp(min=1), correct / actual.clamp(min=1)
    f1 = 2 * correct / (given + actual).clamp(min=1)
    return {
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "confusion": matrix.long().tolist(),
    }


def macro(scores: dict[str, list[Any]]) -> dict[str, float]:
    """Returns the mean precision, recall and F1 of the classes that occur or were predicted, as in scikit-learn.

    Args:
        scores: the return value of `class_scores`.
    """
    matrix = np.array(scores["confusion"])
    present = (matrix.sum(0) + matrix.sum(1)) > 0
    return {name: float(np.mean(np.array(scores[name])[present])) for name in _SCORES}


def matthews(confusion: np.ndarray) -> float:
    """Returns the correlation of predictions with classes (Matthews, 1975; of several classes Gorodkin, 2004).

    It is 0 where all examples have the same class, or were predicted as the same.

    Args:
        confusion: (C, C) see `class_scores`.
    """
    total, given, actual = confusion.sum(), confusion.sum(0), confusion.sum(1)
    scale = np.sqrt(float(total**2 - (given**2).sum())) * np.sqrt(float(total**2 - (actual**2).sum()))
    return float((np.trace(confusion) * total - given @ actual) / scale) if scale else 0.0
