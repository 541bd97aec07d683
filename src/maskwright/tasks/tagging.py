"""A tag for each word of a text."""

from collections import Counter
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.corpora.labels import iob2, kinds_of
from maskwright.models.layers.case import CaseFeatures
from maskwright.models.layers.crf import LinearChainCRF
from maskwright.models.transformer.model import gather
from maskwright.tasks.labelled import LabelledTask, linear, weigh

Chunk = tuple[str, int, int]  # kind, first word, and the one behind the last


class Tagging(LabelledTask):
    """Tags the words of a text by the hidden states of their first tokens.

    Args:
        names: of the C tags, in IOB2.
        crf: whether a linear-chain CRF scores whole sequences instead of each tag by itself.
        case: whether the head also sees how words are written, see `CaseFeatures`.
        dropout: of the hidden states.
        class_weights: of each tag in the training loss, see `weigh`; without a CRF.
        label_smoothing: share of the target that is spread over all tags; without a CRF.
        task: see `LabelledTask`.
    Raises:
        ValueError: what is for tags by themselves is set beside a CRF, or a weight is not above 0.
    Attributes:
        predicted: after an evaluation, (W,) the tags of all words of the split, one text behind the other.
        probability: (W,) of each of them, given its whole text.
    """

    target = "tags"
    metrics: tuple[str, ...] = ("loss", "accuracy", "precision", "recall", "f1")

    def __init__(
        self,
        names: list[str],
        class_counts: list[int],
        crf: bool = False,
        case: bool = False,
        dropout: float = 0.1,
        class_weights: list[float] | Literal["balanced"] | None = None,
        label_smoothing: float = 0.0,
        **task: Any,
    ):
        super().__init__(**task)
        if crf and (class_weights is not None or label_smoothing):
            raise ValueError(
                f"crf=true scores whole sequences, and class_weights={class_weights} label_smoothing="
                f"{label_smoothing} are for tags by themselves; leave them at null and 0"
            )
        self.names, self.label_smoothing = names, label_smoothing
        self.dropout = nn.Dropout(dropout)
        self.case = CaseFeatures() if case else None
        features = self.encoder.hidden_size + (CaseFeatures.size if case else 0)  # type: ignore[operator]
        self.output = linear(features, len(names))  # type: ignore[arg-type]
        self.crf = LinearChainCRF(names) if crf else None
        self.register_buffer("class_weights", weigh(class_weights, names, class_counts), persistent=False)

    def forward(self, batch: dict[str, Tensor], input_ids: Tensor | None = None) -> Tensor:
        """(B, K, C) of the words of a batch, whose ids may be others than its own: masked ones."""
        input_ids = batch["input_ids"] if input_ids is None else input_ids
        hidden = gather(self.encoder(input_ids, batch.get("attention_mask")), batch["positions"])
        if self.case is not None:
            hidden = torch.cat([hidden, self.case(batch["cases"])], -1)
        return self.output(self.dropout(hidden)).float()

    def score(self, batch: dict[str, Tensor], input_ids: Tensor) -> tuple[Tensor, Tensor]:
        scores, targets, valid = self(batch, input_ids), batch["targets"], batch["valid"]
        right = (scores.argmax(-1) == targets)[valid]
        if self.crf is not None:
            return self.crf.loss(scores, targets, valid, batch["opens"]), right
        weights: Tensor | None = self.class_weights  # type: ignore[assignment]
        total = F.cross_entropy(
            scores[valid], targets[valid], weights, label_smoothing=self.label_smoothing, reduction="sum"
        )
        count = valid.sum() if weights is None else weights[targets[valid]].sum()
        return total / count.clamp(min=1e-6), right

    def predict_batch(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        scores, valid = self(batch), batch["valid"]
        texts = batch["texts"][:, None].expand_as(valid)
        if self.crf is None:
            shares = scores.softmax(-1)
            tags = scores.argmax(-1)
            losses = F.cross_entropy(scores.transpose(1, 2), batch["targets"], reduction="none")
        else:
            tags = self.crf.decode(scores, valid, batch["opens"])
            shares = self.crf.marginals(scores, valid, batch["opens"])
            of_batch = self.crf.loss(scores, batch["targets"], valid, batch["opens"])  # the mean of its words
            losses = of_batch.expand(valid.shape)
        probability = shares.gather(2, tags[..., None])[..., 0]
        return texts[valid], batch["places"][valid], tags[valid], losses[valid], probability[valid]

    def measure(self, split: str, seen: list[np.ndarray]) -> dict[str, float]:
        """A word without tokens counts as O."""
        texts, places, tags = (column.astype(np.int64) for column in seen[:3])
        wanted = self.trainer.datamodule.rows[split].targets  # type: ignore[attr-defined]
        at = wanted.begins[texts] + places
        self.predicted = np.full(len(wanted.tags), self.names.index("O") if "O" in self.names else 0)
        self.probability = np.ones(len(wanted.tags), np.float32)
        self.predicted[at], self.probability[at] = tags, seen[4]
        runs = list(zip(wanted.begins[:-1], wanted.begins[1:], strict=True))
        spelled = [
            [[self.names[tag] for tag in column[first:last].tolist()] for first, last in runs]
            for column in (wanted.tags, self.predicted)
        ]
        whole, of_kinds = entity_scores(*spelled)
        of_kinds = {kind: dict.fromkeys(whole, 0.0) for kind in kinds_of(self.names)} | of_kinds
        return {
            "loss": float(seen[3].mean()) if len(seen[3]) else 0.0,
            "accuracy": float((self.predicted == wanted.tags).mean()),
            **whole,
            **{f"{name}/{kind}": value for kind, values in of_kinds.items() for name, value in values.items()},
        }


def chunks(tags: list[str]) -> set[Chunk]:
    """The chunks of one text's tags, of any scheme, as the evaluation script of CoNLL-2000 finds them."""
    found: set[Chunk] = set()
    kind, first = "", 0
    for place, tag in enumerate([*iob2(tags, Counter()), "O"]):
        if kind and not tag.startswith("I-"):
            found.add((kind, first, place))
            kind = ""
        if tag.startswith("B-"):
            kind, first = tag[2:], place
    return found


def entity_scores(
    wanted: list[list[str]], predicted: list[list[str]]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Precision, recall and F1 of whole entities, of all and of each kind, as conlleval and seqeval tell them.

    Args:
        wanted, predicted: tags of each text.
    """
    right: Counter[str] = Counter()
    there: Counter[str] = Counter()
    given: Counter[str] = Counter()
    for own, other in zip(map(chunks, wanted), map(chunks, predicted), strict=True):
        for counter, of in ((right, own & other), (there, own), (given, other)):
            counter.update(kind for kind, _, _ in of)

    def scores(right: int, there: int, given: int) -> dict[str, float]:
        return {
            "precision": right / max(given, 1),
            "recall": right / max(there, 1),
            "f1": 2 * right / max(given + there, 1),
        }

    return scores(right.total(), there.total(), given.total()), {
        kind: scores(right[kind], there[kind], given[kind]) for kind in sorted(there | given)
    }
