"""Tagging of the words of a text, such as named entity recognition."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.core.types import Share
from maskwright.corpora.entities import entity_scores
from maskwright.corpora.marks import Spans
from maskwright.data.corpus import Corpus
from maskwright.data.predicted import row_of_words
from maskwright.models.layers.case import CaseFeatures
from maskwright.models.layers.crf import LinearChainCRF
from maskwright.models.layers.gather import gather
from maskwright.models.layers.linear import ReadoutLinear
from maskwright.reports import predictions
from maskwright.tasks.class_weights import ClassWeights, weigh
from maskwright.tasks.labelled import LabelledTask
from maskwright.tasks.spec import Metric
from maskwright.tasks.tag_scores import tag_scores


@dataclass(frozen=True)
class TaggedWords:
    """All words of a split, one text after the other.

    Attributes:
        ends: (D,) the index after the last word of each text.
        tags, predicted: (W,) int64, the tags of the corpus and of the model.
        probabilities: (W,) the probabilities of the predicted tags, given the whole text.
    """

    ends: np.ndarray
    tags: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray

    def by_text(self, column: np.ndarray) -> list[np.ndarray]:
        """Returns a column, split into texts."""
        return np.split(column, self.ends[:-1])


class Tagging(LabelledTask):
    """Predicts the tag of each word of a text from the hidden state of its first token.

    Precision, recall and F1 are those of whole entities; of tags that are no entities, such as parts of speech,
    they are means over the tags.

    Args:
        labels: the names of the C tags, in IOB2 if they are those of entities.
        crf: whether a linear-chain CRF scores whole sequences, rather than each tag independently.
        case: whether the head also gets the case of each word, see `CaseFeatures`.
        dropout: the dropout of the hidden states.
        class_weights: the weight of each tag in the training loss, see `weigh`; not with a CRF.
        label_smoothing: the share of the target probability that is spread over all tags; not with a CRF.
        task: see `LabelledTask`.
    Raises:
        ValueError: class weights or label smoothing are combined with a CRF, or a weight is not above 0.
    Attributes:
        predicted: after an evaluation, `TaggedWords`.
    """

    label_kind = "tags"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("loss", "min"),
        Metric("accuracy", "max"),
        *(Metric(name, "max", of_labels=True) for name in ("precision", "recall", "f1")),
    )
    primary = "f1"
    label_weights: ClassVar[tuple[str, ...]] = ("output.", "crf.")
    fixed_settings = (*LabelledTask.fixed_settings, "crf", "case")
    baseline_name = "entropy of the tags, nats (guessing by frequency)"

    def __init__(
        self,
        crf: bool = False,
        case: bool = False,
        dropout: Share = 0.1,
        class_weights: ClassWeights = None,
        label_smoothing: Share = 0.0,
        **task: Any,
    ):
        super().__init__(**task)
        if crf and (class_weights is not None or label_smoothing):
            raise ValueError(
                f"crf=true scores whole sequences, but class_weights={class_weights} label_smoothing="
                f"{label_smoothing} are for independent tags; leave them at null and 0"
            )
        names = self.labels.names
        self.label_smoothing = label_smoothing
        self.dropout = nn.Dropout(dropout)
        self.case = CaseFeatures() if case else None
        features = self.encoder.hidden_size + (CaseFeatures.size if case else 0)
        self.output = ReadoutLinear(features, len(names))
        self.crf = LinearChainCRF(names if self.labels.entities else ["O"] * len(names)) if crf else None
        self.register_buffer("class_weights", weigh(class_weights, self.labels), persistent=False)

    def forward(self, batch: dict[str, Tensor], input_ids: Tensor | None = None) -> Tensor:
        """Returns scores (B, K, C) of the words of a batch; `input_ids` replaces its ids, e.g. by masked ones."""
        input_ids = batch["input_ids"] if input_ids is None else input_ids
        hidden = gather(self.encoder(input_ids, batch.get("attention_mask")), batch["positions"])
        if self.case is not None:
            hidden = torch.cat([hidden, self.case(batch["cases"])], -1)
        return self.output(self.dropout(hidden)).float()

    def score(self, batch: dict[str, Tensor], input_ids: Tensor) -> tuple[Tensor, Tensor]:
        scores, targets, valid = self.forward(batch, input_ids), batch["targets"], batch["valid"]
        right = (scores.argmax(-1) == targets)[valid]
        if self.crf is not None:
            return self.crf.loss(scores, targets, valid, batch["opens"]), right
        weights: Tensor | None = self.class_weights  # type: ignore[assignment]
        total = F.cross_entropy(
            scores[valid], targets[valid], weights, label_smoothing=self.label_smoothing, reduction="sum"
        )
        return total / self.label_weight(batch).clamp(min=1e-6), right

    def label_weight(self, batch: dict[str, Tensor]) -> Tensor:
        weights: Tensor | None = self.class_weights  # type: ignore[assignment]
        if weights is None or self.crf is not None:
            return super().label_weight(batch)
        return weights[batch["targets"][batch["valid"]]].sum()

    def outputs(self, batch: dict[str, Tensor]) -> Tensor:
        scores = self.forward(batch)
        return (
            scores.softmax(-1) if self.crf is None else self.crf.marginals(scores, batch["valid"], batch["opens"])
        )

    def decided(self, batch: dict[str, Tensor]) -> Tensor:
        """See `LabelledTask`. With a CRF, the tags of the most likely sequence."""
        if self.crf is None:
            return super().decided(batch)
        return self.crf.decode(self.forward(batch), batch["valid"], batch["opens"])

    def read_from(self, batch: dict[str, Tensor]) -> Tensor:
        return F.one_hot(batch["positions"], batch["input_ids"].shape[1]).float()

    def predict_batch(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        scores, valid = self.forward(batch), batch["valid"]
        texts = batch["texts"][:, None].expand_as(valid)
        if self.crf is None:
            shares = scores.softmax(-1)
            tags = scores.argmax(-1)
            losses = F.cross_entropy(scores.transpose(1, 2), batch["targets"], reduction="none")
        else:
            tags = self.crf.decode(scores, valid, batch["opens"])
            shares = self.crf.marginals(scores, valid, batch["opens"])
            of_batch = self.crf.loss(scores, batch["targets"], valid, batch["opens"])  # the mean over its words
            losses = of_batch.expand(valid.shape)
        probability = shares.gather(2, tags[..., None])[..., 0]
        gold = batch["gold"]
        known = gold >= 0
        row, place = known.nonzero(as_tuple=True)
        found = texts[valid], batch["places"][valid], tags[valid], losses[valid], probability[valid]
        return *found, batch["texts"][row], place, gold[known]

    def collect(self, seen: list[np.ndarray]) -> TaggedWords:
        """See `LabelledTask`. The prediction for a word without tokens is O, or the most frequent tag."""
        texts, places, tags = (column.astype(np.int64) for column in seen[:3])
        words = self._words(*(column.astype(np.int64) for column in seen[5:]))
        at = np.concatenate([[0], words.ends])[texts] + places
        words.predicted[at], words.probabilities[at] = tags, seen[4]
        return words

    def shown(self, predicted: TaggedWords) -> list[dict[str, Any]]:
        shares = [[round(float(p), 6) for p in text] for text in predicted.by_text(predicted.probabilities)]
        tags = self._spelled(predicted, predicted.predicted)
        return [{"predicted": own, "probabilities": of} for own, of in zip(tags, shares, strict=True)]

    def row(self, text: str, words: Spans | None, shown: dict[str, Any] | None) -> dict[str, Any]:
        """See `LabelledTask`. Beside the tags it has the words, their characters, and the entities."""
        spans = words or []
        found = shown or {"predicted": [self.labels.absent] * len(spans), "probabilities": [1.0] * len(spans)}
        return row_of_words(text, spans, found["predicted"], found["probabilities"], self.labels.entities)

    def measure(self, seen: list[np.ndarray]) -> dict[str, float]:
        losses = seen[3]
        self.predicted = words = self.collect(seen)
        whole, of_kinds = self._scores(words)
        of_kinds = {kind: dict.fromkeys(whole, 0.0) for kind in self.labels.kinds} | of_kinds
        return {
            "loss": float(losses.mean()) if len(losses) else 0.0,
            "accuracy": float((words.predicted == words.tags).mean()),
            **whole,
            **{f"{name}/{kind}": value for kind, values in of_kinds.items() for name, value in values.items()},
        }

    def _scores(self, words: TaggedWords) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """Returns precision, recall and F1: of all entities and of each kind, or the means of all tags and each."""
        if not self.labels.entities:
            return tag_scores(self.labels.names, words.tags, words.predicted)
        return entity_scores(*(self._spelled(words, column) for column in (words.tags, words.predicted)))

    def _words(self, texts: np.ndarray, places: np.ndarray, tags: np.ndarray) -> TaggedWords:
        """Returns all words in the order of their texts, without predictions.

        Args:
            texts, places, tags: (W,) the text of each word, its index in the text, and its tag.
        """
        order = np.lexsort((places, texts))
        return TaggedWords(
            np.cumsum(np.bincount(texts, minlength=1)),
            tags[order],
            np.full(len(tags), self.labels.names.index(self.labels.absent)),
            np.ones(len(tags), np.float32),
        )

    def _spelled(self, words: TaggedWords, column: np.ndarray) -> list[list[str]]:
        return [[self.labels.names[tag] for tag in tags.tolist()] for tags in words.by_text(column)]

    def report(self, split: str, metrics: Mapping[str, float], data: Corpus, folder: Path) -> None:
        """Also prints scores by kind of entity, or by tag, and the most confident errors, and writes
        `predictions.jsonl`."""
        super().report(split, metrics, data, folder)
        words = self.predicted
        columns = (self._spelled(words, words.tags), self._spelled(words, words.predicted))
        rows: list[dict[str, Any]] = [
            {"words": text, "tags": tags, **shown}
            for text, tags, shown in zip(data.words(split), columns[0], self.shown(words), strict=True)
        ]
        predictions.write(rows, folder)
        whole, of_kinds = self._scores(words)
        by_kind = {kind: list(scores.values()) for kind, scores in of_kinds.items()}
        predictions.show_scores("entity" if self.labels.entities else "tag", by_kind, whole=list(whole.values()))
        wrong = (
            (tag, predicted, probability, predictions.around(row["words"], place))
            for row in rows
            for place, (tag, predicted, probability) in enumerate(
                zip(row["tags"], row["predicted"], row["probabilities"], strict=True)
            )
            if predicted != tag
        )
        predictions.show_confident_errors(wrong, self.trainer)
