"""The base class of tasks that learn from labels: masks in training, predictions, and a second loss."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.core.distributed import gather
from maskwright.core.types import Rate
from maskwright.corpora.marks import Spans
from maskwright.data.corpus import Corpus
from maskwright.data.label_spec import LabelSpec
from maskwright.masking import Masked, Masker
from maskwright.models.encoder import types_of
from maskwright.models.flops import forward_flops
from maskwright.tasks.evaluation_masks import EvaluationMasks
from maskwright.tasks.means import Means
from maskwright.tasks.spec import Baseline, Metric, TaskSpec
from maskwright.tasks.task import Task
from maskwright.tasks.token_prediction import MEANS, METRICS, head_flops, share, token_loss, token_metrics

_LENGTHS = (16, 32, 48)  # FLOPs are a quadratic polynomial of the length, which three values determine


class LabelledTask(Task):
    """Learns from labels, alone or together with the masked tokens of the same texts.

    The loss is the loss of the labels, plus `mlm_weight` times the loss of the masked tokens. If labels are learned
    alone, they are predicted from masked texts. If masked tokens are predicted too, the labels are predicted from
    the unmasked texts, in a second pass through the encoder.

    Args:
        labels: the labels to learn.
        masker: masks the training batches; evaluation batches are not masked for labels.
        mlm_weight: the weight of the loss of masked tokens; None does not predict them.
        head, evaluation_masker, evaluation_masks: for masked tokens, see `MaskedLanguageModeling`; None without
            `mlm_weight`.
        task: see `Task`.
    Raises:
        ValueError: more layers are to be frozen than there are; the mask learns from predicted tokens, but none are
            predicted; the weight is negative; or tokens are to be predicted, but the mask hides none.
    Attributes:
        baseline_name: what the loss of the baseline is, and its units.
        predicted: the predictions of the last evaluation, in a form that the subclass defines.
    """

    averaged = ()
    baseline_name: ClassVar[str]
    labels: LabelSpec

    def __init__(
        self,
        labels: LabelSpec,
        masker: Masker,
        mlm_weight: Rate | None = None,
        head: nn.Module | None = None,
        evaluation_masker: Masker | None = None,
        evaluation_masks: EvaluationMasks | None = None,
        **task: Any,
    ):
        super().__init__(masker=masker, **task)
        self.labels = labels
        self.weights = {"label": 1.0} | ({} if mlm_weight is None else {"mlm": mlm_weight})
        if "mlm" in self.weights:
            self._check_tokens()
            self.head, self.evaluation_masker = head, evaluation_masker
            self.evaluation_masks = evaluation_masks
            self.token_means = Means(MEANS)
        elif masker.learns:
            raise ValueError(
                f"{type(masker.weights).__name__} learns from which masked tokens are predicted correctly, but "
                f"{type(self).__name__} predicts none; choose another mask, or task=multitask"
            )
        self.predicted: Any = None
        self._seen: list[tuple[np.ndarray, ...]] = []
        self._shape = (0, 0)
        self._masked = 0  # the most tokens that the last training step masked in a row
        self._polynomial: np.ndarray | None = None
        self._layers = len(self.encoder.layers_in_order())

    def _check_tokens(self) -> None:
        if self.weights["mlm"] < 0:
            raise ValueError(f"mlm_weight is {self.weights['mlm']}; it must be at least 0")
        if not self.masker.masks:  # type: ignore[union-attr]
            raise ValueError(
                "mask=none hides no token, but this task predicts hidden ones too; choose another mask"
            )

    @classmethod
    def spec(cls, settings: Mapping[str, Any]) -> TaskSpec:
        own = (cls.collect, cls.shown)
        predicts = own[0] is not LabelledTask.collect and own[1] is not LabelledTask.shown
        spec = replace(super().spec(settings), predicts_texts=predicts)
        if settings.get("mlm_weight") is None:
            return spec
        of_tokens = tuple(Metric(f"mlm_{metric.name}", metric.better) for metric in METRICS)
        return replace(spec, metrics=(*spec.metrics, *of_tokens), predicts_tokens=True)

    # Methods for subclasses to implement

    def score(self, batch: dict[str, Tensor], input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the loss of a batch with these ids, and which of its targets are predicted correctly."""
        raise NotImplementedError

    def predict_batch(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Returns the predictions for a batch, as `measure` takes them."""
        raise NotImplementedError

    def outputs(self, batch: dict[str, Tensor]) -> Tensor:
        """Returns what is predicted for each text, or each word of it, with gradients.

        Returns:
            (B, C), or (B, K, C): the probability of each class or tag; a value as it is, C = 1.
        """
        raise NotImplementedError

    def decided(self, batch: dict[str, Tensor]) -> Tensor:
        """Returns the number of the output that is predicted, (B,) or (B, K): the most likely one."""
        return self.outputs(batch).argmax(-1)

    def read_from(self, batch: dict[str, Tensor]) -> Tensor:
        """Returns how much each output is read from each hidden state: (B, T), or (B, K, T), which add up to 1."""
        raise NotImplementedError

    def measure(self, seen: list[np.ndarray]) -> dict[str, float]:
        """Returns the metrics of a split.

        Args:
            seen: the return values of `predict_batch`, concatenated over all batches and ranks.
        """
        raise NotImplementedError

    def collect(self, seen: list[np.ndarray]) -> Any:
        """Returns the predictions for whole texts, in the order of their numbers; see `measure` for `seen`."""
        raise NotImplementedError

    def shown(self, predicted: Any) -> list[dict[str, Any]]:
        """Returns for each text what was predicted, as files of predictions hold it.

        Args:
            predicted: the return value of `collect`.
        """
        raise NotImplementedError

    def row(self, text: str, words: Spans | None, shown: dict[str, Any] | None) -> dict[str, Any]:
        """Returns the row for a text without a label in a file of predictions.

        Args:
            words: of a text for tagging, the first character of each word and the one after its last.
            shown: an entry of the return value of `shown`; None if nothing was left of the text to predict from.
        """
        return {"text": text, **(shown or {"predicted": None})}

    # Training

    def learn(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        assert self.masker is not None
        masked = self.masker(batch, self.progress())
        self._shape = masked.input_ids.shape[0], masked.input_ids.shape[1]
        self._masked = masked.positions.shape[1]
        present = batch["weight"][0]  # 0 where the rows only fill in
        if self.masker.masks:
            words = _maskable(batch)
            share_masked = masked.valid.sum() / words.clamp(min=1)
            self.log_step("masked", share_masked * self.weigh("words", words * present))
        both = "mlm" in self.weights
        loss, right = self.score(batch, batch["input_ids"] if both else masked.input_ids)
        loss = loss * self.weigh("label", self.label_weight(batch) * present)
        if both:
            mlm_loss, hit, count = self._token_loss(batch, masked)
            mlm_loss = mlm_loss * self.weigh("tokens", count * present)
            self.masker.observe(masked._replace(valid=masked.valid & (present > 0)), hit)
            self.log_step("label_loss", loss)
            self.log_step("mlm_loss", mlm_loss)
            loss = self.weights["label"] * loss + self.weights["mlm"] * mlm_loss
        if not len(right):
            return loss, None
        return loss, right.float().mean() * self.weigh("targets", self.target_count(batch) * present)

    def target_count(self, batch: dict[str, Tensor]) -> Tensor:
        """Returns how many targets a batch has."""
        if "valid" in batch:
            return batch["valid"].sum()
        return torch.full((), len(batch["targets"]), device=batch["targets"].device)

    def label_weight(self, batch: dict[str, Tensor]) -> Tensor:
        """Returns the sum of the weights that the targets of a batch have in the mean that `score` returns."""
        return self.target_count(batch)

    def step_totals(self, step: dict[str, Tensor]) -> dict[str, Tensor]:
        assert self.masker is not None
        totals = {
            "label": self.label_weight(step),
            "targets": self.target_count(step),
            "words": _maskable(step),
        }
        if "mlm" in self.weights:
            totals["tokens"] = self.masker.select(step, self.progress()).valid.sum()
        return {name: total * step["weight"][0] for name, total in totals.items()}

    def _token_loss(self, batch: dict[str, Tensor], masked: Masked) -> tuple[Tensor, Tensor, Tensor]:
        types = types_of(self.encoder, batch)
        hidden = self.encoder(masked.input_ids, self.attention_mask(batch), masked.positions, **types)
        assert self.head is not None
        return token_loss(self.head, hidden, masked)

    def make_optimizer(self) -> torch.optim.Optimizer:
        if "mlm" in self.weights:
            # after the head for labels: an optimizer knows parameters by their order, and checkpoints have this one
            self._modules["head"] = self._modules.pop("head")
        optimizer = self.optimizer(self)
        self.finetuning.regroup(optimizer, self.encoder)
        return optimizer

    # Evaluation

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        # NumPy has no bfloat16
        found = (t.float() if t.is_floating_point() else t for t in self.predict_batch(batch))
        self._seen.append(tuple(tensor.cpu().numpy() for tensor in found))
        if "mlm" in self.weights:
            assert self.evaluation_masker is not None
            loss, right, count = self._token_loss(batch, self.evaluation_masker(batch))
            self.token_means.update({"loss": loss, "accuracy": share(right, count)}, count)
            if self.evaluation_masks is not None:
                self.evaluation_masks.update(batch, self._token_loss)

    def evaluation_metrics(self, split: str) -> dict[str, Any]:
        columns = [np.concatenate(column) for column in zip(*self._seen, strict=True)]
        self._seen = []
        metrics: dict[str, Any] = self.measure([np.concatenate(c) for c in zip(*gather(columns), strict=True)])
        if "mlm" in self.weights:
            of_tokens = token_metrics(self.token_means.compute())
            metrics |= {f"mlm_{name}": value for name, value in of_tokens.items()}
            metrics |= {} if self.evaluation_masks is None else self.evaluation_masks.compute()
        return metrics

    def baseline(self, data: Corpus) -> Baseline:
        assert data.labels is not None
        return Baseline(data.labels.baseline, self.baseline_name)

    def training_flops(self) -> int:
        """See `Task`. The FLOPs of an encoder that depend on its data count as 0."""
        rows, length = self._shape
        if self._polynomial is None:
            self._polynomial = np.polyfit(_LENGTHS, [self._count(number) for number in _LENGTHS], 2)
        # the backward pass of trained layers takes twice the FLOPs of their forward pass
        learning = self.finetuning.learning(self._layers, self.progress())
        of_label = round((1 + 2 * learning) * rows * float(np.polyval(self._polynomial, length)))
        if "mlm" not in self.weights:
            return of_label
        # masked tokens take another pass through the encoder
        return 2 * of_label + 3 * head_flops(self.to_count("head"), rows, self._masked, self.encoder.hidden_size)

    def _count(self, length: int) -> int:
        try:
            return forward_flops(self.to_count("encoder"), torch.zeros(1, length, dtype=torch.long), None)
        except (RuntimeError, NotImplementedError, ValueError):
            return 0


def _maskable(batch: dict[str, Tensor]) -> Tensor:
    return (batch["words"] >= 0).sum()
