"""Masked language modelling (Devlin et al., 2019)."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from maskwright.core.terminal import console
from maskwright.corpora.recipe import REPLAY
from maskwright.data.corpus import Corpus
from maskwright.loggers import table
from maskwright.masking import Masked, Masker
from maskwright.models import CountsTokens, Encoder, read_by
from maskwright.models.flops import forward_flops
from maskwright.reports import fills
from maskwright.tasks.evaluation_masks import METRICS as FURTHER
from maskwright.tasks.evaluation_masks import EvaluationMasks
from maskwright.tasks.spec import Baseline, Metric, TaskSpec
from maskwright.tasks.task import Task
from maskwright.tasks.token_prediction import MEANS, METRICS, head_flops, share, token_loss, token_metrics

_SENTENCES = 5  # how many sentences the model fills a word into at the end of a run


class MaskedLanguageModeling(Task):
    """Masks tokens of a batch and learns to predict them.

    Args:
        head: `forward(hidden) -> (B, K, V)` and `loss(hidden, targets, valid)`.
        masker: masks the training batches.
        evaluation_masker: masks validation and test batches, in the same way in every epoch and run; None
            evaluates under `evaluation_masks` alone.
        evaluation_masks: further masks for these batches; None for no others.
        task: see `Task`.
    """

    metrics: ClassVar[tuple[Metric, ...]] = METRICS
    averaged = MEANS
    head: nn.Module

    def __init__(
        self,
        head: nn.Module,
        masker: Masker,
        evaluation_masker: Masker | None,
        evaluation_masks: EvaluationMasks | None = None,
        **task: Any,
    ):
        super().__init__(masker=masker, **task)
        self.head, self.evaluation_masker = head, evaluation_masker
        self.evaluation_masks = evaluation_masks
        self._shape: tuple[int, int, int] | None = None  # B, T and K of the last training step
        self._forward_flops: dict[tuple[int, int], tuple[int, int]] = {}  # with 1 and with 2 masked tokens per row

    @classmethod
    def spec(cls, settings: Mapping[str, Any]) -> TaskSpec:
        return replace(
            super().spec(settings),
            predicts_tokens=True,
            learns_counts=True,
            reads_neighbours=cls is MaskedLanguageModeling,
        )

    @property
    def token_encoder(self) -> Encoder:
        return read_by(self.head, self.encoder)

    def forward(self, batch: dict[str, Tensor], masked: Masked) -> Tensor:
        """Returns logits (B, K, V) at the masked positions."""
        return self.head(self._hidden(batch, masked))

    def _hidden(self, batch: dict[str, Tensor], masked: Masked) -> Tensor:
        return self.token_encoder(masked.input_ids, self.attention_mask(batch), masked.positions)

    def loss(self, batch: dict[str, Tensor], masked: Masked) -> tuple[Tensor, Tensor, Tensor]:
        """Returns mean cross-entropy in nats, accuracy and number of the masked tokens; see `token_loss`."""
        loss, right, count = self._token_loss(batch, masked)
        return loss, share(right, count), count

    def _token_loss(self, batch: dict[str, Tensor], masked: Masked) -> tuple[Tensor, Tensor, Tensor]:
        return token_loss(self.head, self._hidden(batch, masked), masked)

    def learn(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        assert self.masker is not None
        masked = self.masker(batch, self.progress())
        own = self.encoder.own_loss(batch["input_ids"], self.attention_mask(batch))
        with nullcontext() if own is None else torch.no_grad():
            loss, right, count = self._token_loss(batch, masked)
        self.masker.observe(masked, right)
        self._shape = (*masked.input_ids.shape, masked.positions.shape[1])
        weight = self.weigh("tokens", count)
        loss = loss * weight
        if own is not None:  # all models show the loss of masked tokens, whatever they learn from
            loss = loss + (own - own.detach())
        return loss, share(right, count) * weight

    def count(self, data: Corpus, new_encoder: bool, new_head: bool) -> str | None:
        if not isinstance(self.head, CountsTokens):
            return super().count(data, new_encoder, new_head)
        self.head.count(data.training_rows())
        return None

    def step_totals(self, step: dict[str, Tensor]) -> dict[str, Tensor]:
        assert self.masker is not None
        return {"tokens": self.masker.select(step, self.progress()).valid.sum()}

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        if self.evaluation_masker is not None:
            self._validate(batch, self.evaluation_masker)
        if self.evaluation_masks is not None and self._counts(batch):
            self.evaluation_masks.update(batch, self._token_loss)

    def _validate(self, batch: dict[str, Tensor], masker: Masker) -> None:
        """Adds an evaluation batch to the metrics under `evaluation_mask`."""
        self._update(batch, *self.evaluate(batch))

    def source_metrics(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        return token_metrics(means)

    def evaluate(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        assert self.evaluation_masker is not None
        loss, accuracy, count = self.loss(batch, self.evaluation_masker(batch))
        return {"loss": loss, "accuracy": accuracy}, count

    def evaluation_metrics(self, split: str) -> dict[str, Tensor]:
        own = {} if self.evaluation_masker is None else token_metrics(self.means.compute())
        return own | ({} if self.evaluation_masks is None else self.evaluation_masks.compute())

    def baseline(self, data: Corpus) -> Baseline:
        entropy = data.tokens["train"].unigram_entropy
        return Baseline(entropy, "unigram entropy, nats (guessing by frequency)")

    def report(self, split: str, metrics: Mapping[str, float], data: Corpus, folder: Path) -> None:
        """Prints the metrics, and the words that the model fills into a few sentences of the split."""
        self.print_metrics(split, metrics, data)
        for mask in () if self.evaluation_masks is None else self.evaluation_masks.names:
            loss, bits, accuracy = (metrics[f"{split}/{mask}/{metric.name}"] for metric in FURTHER)
            console().print(f"  {mask}: loss {loss:.4f} nats, {bits:.4f} bits per byte, accuracy {accuracy:.2%}")
        documents = data.documents[split]
        texts = (row["text"] for row in documents)
        each = -(-_SENTENCES // len(documents))
        self.eval()
        if filled := fills.fill(self.token_encoder, self.head, data.tokenizer, texts, _SENTENCES, each):
            console().print(fills.table(filled))
            table("fills", *fills.columns_and_rows(filled), self.trainer)

    def print_metrics(self, split: str, metrics: Mapping[str, float], data: Corpus) -> None:
        """Prints the metrics under `evaluation_mask`, beside the baseline."""
        value, name = self.baseline(data)
        console().print(
            f"\n{split.capitalize()}: loss {metrics[f'{split}/loss']:.4f} nats, "
            f"perplexity {metrics[f'{split}/perplexity']:.2f}, "
            f"masked accuracy {metrics[f'{split}/accuracy']:.2%}   (baseline: {name} {value:.4f})"
        )
        for source in data.evaluated_sources(split):
            loss, accuracy = metrics[f"{split}/{source}/loss"], metrics[f"{split}/{source}/accuracy"]
            apart = ", which the line above leaves out" if source == REPLAY else ""
            console().print(f"  {source}: loss {loss:.4f} nats, accuracy {accuracy:.2%}{apart}")

    def training_flops(self) -> int:
        """See `Task`. Documents that are kept apart count as if they attended to each other. FLOPs that depend on
        the data count as 0."""
        if self._shape is None:
            return 0
        rows, length, positions = self._shape
        if (rows, length) not in self._forward_flops:
            self._forward_flops[rows, length] = self._count(rows, length, 1), self._count(rows, length, 2)
        with_one, with_two = self._forward_flops[rows, length]
        return 3 * (with_one + (positions - 1) * (with_two - with_one))

    def _count(self, rows: int, length: int, positions: int) -> int:
        """Returns the FLOPs of a forward pass with `positions` masked tokens in each row."""
        asked = torch.zeros(rows, positions, dtype=torch.long)
        everywhere = torch.zeros(rows, length, dtype=torch.long)
        try:
            own = forward_flops(self.to_count("encoder"), everywhere, None, asked)
            return own + head_flops(self.to_count("head"), rows, positions, self.token_encoder.hidden_size)
        except (RuntimeError, NotImplementedError):
            return 0
