"""Classification of texts that may have several labels at once, or none."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision

from maskwright.core.types import Share
from maskwright.data.corpus import Corpus
from maskwright.data.predicted import THRESHOLD, row_of_labels
from maskwright.reports import predictions
from maskwright.tasks.class_weights import ClassWeights, weigh_given
from maskwright.tasks.spec import Metric
from maskwright.tasks.text import TextTask

_SCORES = ("precision", "recall", "f1")


class MultiLabel(TextTask):
    """Predicts which of C labels a text has, each for itself; a label is given if its probability is 0.5 or more.

    The loss is the mean binary cross-entropy over texts and labels, in nats.

    Args:
        labels: the names of the C labels.
        class_weights: the weight of each label where a text has it, in the training loss, see `weigh_given`.
        label_smoothing: the share by which targets are moved towards 0.5.
        task: see `TextTask`.
    Raises:
        ValueError: there are not as many weights as labels, or one is not above 0.
    Attributes:
        predicted: see `TextTask`; `targets` are (D, C), 1 where a text has a label.
    """

    label_kind = "labels"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("loss", "min"),
        *(Metric(f"{name}_micro", "max") for name in _SCORES),
        *(Metric(name, "max", of_labels=True) for name in _SCORES),
        Metric("average_precision", "max", of_labels=True),
        Metric("subset_accuracy", "max"),
    )
    primary = "f1_micro"
    baseline_name = "mean entropy of the labels, nats (guessing each by its frequency)"

    def __init__(self, class_weights: ClassWeights = None, label_smoothing: Share = 0.0, **task: Any):
        super().__init__(outputs=len(task["labels"].names), **task)
        self.label_smoothing = label_smoothing
        self.register_buffer("class_weights", weigh_given(class_weights, self.labels), persistent=False)

    def score(self, batch: dict[str, Tensor], input_ids: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.forward(batch, input_ids).float()
        targets = batch["targets"].float()
        targets = targets + self.label_smoothing * (0.5 - targets)
        weights: Tensor | None = self.class_weights  # type: ignore[assignment]
        loss = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)
        return loss, ((logits >= 0) == (batch["targets"] > 0)).float().mean(dim=1)

    def outputs(self, batch: dict[str, Tensor]) -> Tensor:
        return self.forward(batch).float().sigmoid()

    def shown(self, predicted: dict[str, np.ndarray]) -> list[dict[str, Any]]:
        return [row_of_labels(self.labels.names, outputs) for outputs in predicted["outputs"]]

    def measure(self, seen: list[np.ndarray]) -> dict[str, float]:
        self.predicted = self.collect(seen)
        outputs, targets = self.predicted["outputs"], self.predicted["targets"]
        scores = label_scores(outputs, targets)
        likelihood = np.where(targets == 1, outputs, 1 - outputs)
        names = self.labels.names
        per_label = {
            f"{name}/{label}": value
            for name in (*_SCORES, "average_precision")
            for label, value in zip(names, scores[name], strict=True)
            if not np.isnan(value)  # of a label that no text of the split has
        }
        return {
            "loss": float(-np.log(np.maximum(likelihood, 1e-30)).mean()),
            **micro(outputs, targets),
            **{name: float(np.mean(scores[name])) for name in _SCORES},
            # of the labels that occur
            "average_precision": float(
                np.mean([own for own in scores["average_precision"] if not np.isnan(own)] or [0])
            ),
            "subset_accuracy": float(((outputs >= THRESHOLD) == targets).all(axis=1).mean()),
            **per_label,
        }

    def report(self, split: str, metrics: Mapping[str, float], data: Corpus, folder: Path) -> None:
        """Also prints scores by label and the most confident errors, and writes `predictions.jsonl`."""
        super().report(split, metrics, data, folder)
        names, found = self.labels.names, self.predicted
        examples = data.examples(split)
        rows = [
            {**examples[number], "labels": [names[i] for i in np.flatnonzero(target)], **shown}
            for number, target, shown in zip(found["texts"], found["targets"], self.shown(found), strict=True)
        ]
        predictions.write(rows, folder)
        scores = label_scores(found["outputs"], found["targets"])
        by_label = {name: [scores[score][i] for score in _SCORES] for i, name in enumerate(names)}
        predictions.show_scores("label", by_label, found["targets"].sum(axis=0).tolist())
        predictions.show_confident_errors(self._wrong(rows), self.trainer)

    def _wrong(self, rows: list[dict[str, Any]]) -> Iterator[tuple[str, str, float, str]]:
        """Yields for each wrong label of a text what is true, what was predicted, its probability, and the text."""
        outputs, targets = self.predicted["outputs"], self.predicted["targets"]
        for text, label in np.argwhere((outputs >= THRESHOLD) != targets):
            name, share = self.labels.names[label], float(outputs[text, label])
            said = (f"not {name}", name) if share >= THRESHOLD else (name, f"not {name}")
            yield *said, max(share, 1 - share), predictions.shown_text(rows[text])


def label_scores(outputs: np.ndarray, targets: np.ndarray) -> dict[str, list[float]]:
    """Returns precision, recall, F1 and average precision of each label, as in scikit-learn.

    Where a denominator is 0, the first three are 0; average precision is NaN of a label that no text has.

    Args:
        outputs: (D, C) probabilities.
        targets: (D, C), 1 where a text has the label.
    """
    given = outputs >= THRESHOLD
    correct, named, actual = (given & (targets == 1)).sum(0), given.sum(0), (targets == 1).sum(0)
    pairs = zip(torch.from_numpy(outputs).T.double(), torch.from_numpy(targets).T.long(), strict=True)
    average = [float(binary_average_precision(*own)) if own[1].any() else float("nan") for own in pairs]
    return {
        "precision": (correct / np.maximum(named, 1)).tolist(),
        "recall": (correct / np.maximum(actual, 1)).tolist(),
        "f1": (2 * correct / np.maximum(named + actual, 1)).tolist(),
        "average_precision": average,
    }


def micro(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Returns precision, recall and F1 over all pairs of a text and a label, 0 where a denominator is 0."""
    given = outputs >= THRESHOLD
    correct, named, actual = (given & (targets == 1)).sum(), given.sum(), (targets == 1).sum()
    return {
        "precision_micro": float(correct / max(named, 1)),
        "recall_micro": float(correct / max(actual, 1)),
        "f1_micro": float(2 * correct / max(named + actual, 1)),
    }
