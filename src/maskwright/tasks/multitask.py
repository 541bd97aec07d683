"""Masked tokens and labels at once, on one encoder."""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from maskwright.masking import Masked, Masker, Nothing
from maskwright.models.flops import forward_flops
from maskwright.tasks.classification import Classification, Regression
from maskwright.tasks.labelled import LabelledTask
from maskwright.tasks.tagging import Tagging


class AlsoMasked(LabelledTask):
    """A task that learns from labels, and beside them to predict the hidden tokens of the same texts.

    Labels are learned from the texts as they are, and tokens from the masked ones: two passes through the encoder.

    Args:
        head: for masked tokens, see `MaskedLanguageModeling`.
        evaluation_masker: masks validation and test batches, for the metrics of masked tokens.
        mlm_weight: of the loss of masked tokens, beside that of labels, which has the weight 1.
        task: see the class of the labels.
    Raises:
        ValueError: the weight is negative, or the mask hides nothing.
    """

    predicts_tokens = True

    def __init__(self, head: nn.Module, evaluation_masker: Masker, mlm_weight: float = 1.0, **task: Any):
        super().__init__(**task)
        if mlm_weight < 0:
            raise ValueError(f"mlm_weight is {mlm_weight}; it is at least 0")
        if isinstance(self.masker.units, Nothing):
            raise ValueError("mask=none hides no token, and this task learns hidden ones too; choose another mask")
        self.head, self.evaluation_masker, self.mlm_weight = head, evaluation_masker, mlm_weight
        # torchmetrics would leave out losses that are no numbers
        self.mlm_loss = MeanMetric(nan_strategy="disable")
        self.mlm_accuracy = MeanMetric(nan_strategy="disable")
        self._masked = 0  # tokens that the last training step hid in each row, at most

    def _of_tokens(self, batch: dict[str, Tensor], masked: Masked) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy in nats of the masked tokens, and which are predicted right, (B, K)."""
        hidden = self.encoder(masked.input_ids, batch.get("attention_mask"), masked.positions)
        return self.head.loss(hidden, masked.targets, masked.valid)  # type: ignore[operator]

    def learn(self, batch: dict[str, Tensor], masked: Masked) -> tuple[Tensor, Tensor]:
        label_loss, right = self.score(batch, batch["input_ids"])
        token_loss, predicted = self._of_tokens(batch, masked)
        self.masker.observe(masked, predicted)
        self._masked = masked.positions.shape[1]
        self.log("train/label_loss", label_loss)
        self.log("train/mlm_loss", token_loss)
        return label_loss + self.mlm_weight * token_loss, right

    def training_flops(self) -> int:
        of_label = super().training_flops()  # of one pass through the encoder; masked tokens take another
        hidden = torch.empty((self._shape[0], self._masked, self.encoder.hidden_size), device="meta")  # type: ignore[arg-type]
        return 2 * of_label + 3 * forward_flops(self.head, hidden)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        masked = self.evaluation_masker(batch)
        loss, right = self._of_tokens(batch, masked)
        count = masked.valid.sum()
        self.mlm_loss.update(loss, count)
        self.mlm_accuracy.update((right & masked.valid).sum() / count.clamp(min=1), count)

    test_step = validation_step

    def _measure(self, split: str) -> None:
        super()._measure(split)
        loss, accuracy = self.mlm_loss.compute(), self.mlm_accuracy.compute()
        self.mlm_loss.reset()
        self.mlm_accuracy.reset()
        self.log_dict(
            {
                f"{split}/mlm_loss": loss,
                f"{split}/mlm_perplexity": torch.exp(loss),
                f"{split}/mlm_accuracy": accuracy,
            }
        )


_OF_TOKENS = ("mlm_loss", "mlm_perplexity", "mlm_accuracy")


class MultitaskClassification(AlsoMasked, Classification):
    """Masked tokens, and the class of a text."""

    metrics = (*Classification.metrics, *_OF_TOKENS)


class MultitaskRegression(AlsoMasked, Regression):
    """Masked tokens, and a number for a text."""

    metrics = (*Regression.metrics, *_OF_TOKENS)


class MultitaskTagging(AlsoMasked, Tagging):
    """Masked tokens, and a tag for each word."""

    metrics = (*Tagging.metrics, *_OF_TOKENS)
