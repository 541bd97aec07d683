"""Masked language modelling with the span boundary objective (SpanBERT, Joshi et al., 2020, arXiv 1907.10529).

Shapes: B examples, T positions, K masked positions, H hidden size.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.core.terminal import console
from maskwright.core.types import PositiveCount, Rate
from maskwright.data.corpus import Corpus
from maskwright.masking import Masked, Masker
from maskwright.models import SpanBoundaryHead
from maskwright.tasks.means import Means
from maskwright.tasks.mlm import MaskedLanguageModeling
from maskwright.tasks.spec import Metric, TaskSpec
from maskwright.tasks.token_prediction import MEANS, METRICS, head_flops, share


class Spans(NamedTuple):
    """Where each masked position is in its span."""

    before: Tensor  # (B, K) the position before the span
    after: Tensor  # (B, K) the position after it
    offset: Tensor  # (B, K) where in the span it is, from 0
    valid: Tensor  # (B, K) bool, False where it is not predicted from these; the others are 0 there


class SpanBoundary(MaskedLanguageModeling):
    """Predicts masked tokens from their own hidden states, and again from those at both sides of their span.

    A span is a longest run of adjacent masked positions in one document, whatever units the mask has. Each of its
    tokens is predicted from the hidden states at the positions before and after the span, neither of which is
    masked, and from an embedding of where in the span it is. The loss is that of the masked tokens plus
    `span_boundary_weight` times that of the tokens of spans.

    A span at the edge of its row or of its document lacks a position beside it: as `[CLS]` and `[SEP]` are never
    masked, that is one with which a document begins after another in the same row. Its tokens, and those that are
    further than `longest_span` into their span, are predicted from their own hidden states alone.

    Args:
        head_settings: of the head for spans, see `SpanBoundaryHead`.
        span_boundary_weight: the weight of the loss of spans, where that of masked tokens has 1.
        longest_span: how many positions in a span have an embedding.
        task: see `MaskedLanguageModeling`.
    Raises:
        ValueError: a mask hides nothing.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        *METRICS,
        Metric("boundary_loss", "min"),
        Metric("boundary_accuracy", "max"),
    )
    fixed_settings = (*MaskedLanguageModeling.fixed_settings, "longest_span")

    def __init__(
        self,
        head_settings: Mapping[str, Any],
        span_boundary_weight: Rate = 1.0,
        longest_span: PositiveCount = 20,
        **task: Any,
    ):
        super().__init__(**task)
        self.span_boundary_weight, self.longest_span = span_boundary_weight, longest_span
        self.boundary_head = SpanBoundaryHead(
            self.encoder.embedding, self.encoder.hidden_size, longest_span, **head_settings
        )
        self.boundary_means = Means(MEANS)

    @classmethod
    def spec(cls, settings: Mapping[str, Any]) -> TaskSpec:
        return replace(super().spec(settings), needs_masks=True, learns_counts=False)

    @property
    def vocabulary_heads(self) -> list[nn.Module]:
        return [*super().vocabulary_heads, self.boundary_head]

    @property
    def _counted_parts(self) -> dict[str, nn.Module]:
        return super()._counted_parts | {"boundary_head": self.boundary_head}

    def learn(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        assert self.masker is not None
        masked = self.masker(batch, self.progress())
        (loss, right, count), (of_spans, _, in_spans) = self._losses(batch, masked)
        self.masker.observe(masked, right)
        self._shape = (*masked.input_ids.shape, masked.positions.shape[1])
        weight = self.weigh("tokens", count)
        loss, of_spans = loss * weight, of_spans * self.weigh("in_spans", in_spans)
        self.log_step("mlm_loss", loss)
        self.log_step("boundary_loss", of_spans)
        return loss + self.span_boundary_weight * of_spans, share(right, count) * weight

    def step_totals(self, step: dict[str, Tensor]) -> dict[str, Tensor]:
        assert self.masker is not None
        chosen = self.masker.select(step, self.progress())
        spans = find_spans(chosen.positions, chosen.valid, step["documents"], self.longest_span)
        return {"tokens": chosen.valid.sum(), "in_spans": spans.valid.sum()}

    def _losses(
        self, batch: dict[str, Tensor], masked: Masked
    ) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
        """Returns what `token_loss` does, of the masked tokens, and of those of spans."""
        spans = find_spans(masked.positions, masked.valid, batch["documents"], self.longest_span)
        asked = torch.cat([masked.positions, spans.before, spans.after], 1)
        hidden = self.encoder(masked.input_ids, self.attention_mask(batch), asked)
        own, before, after = hidden.chunk(3, 1)
        features = self.boundary_head.features(before, after, spans.offset)
        of_tokens = self.head.loss(own, masked.targets, masked.valid)  # type: ignore[operator]
        of_spans = self.boundary_head.loss(features, masked.targets, spans.valid)
        valids = masked.valid, spans.valid
        found = [
            (loss, right & valid, valid.sum())
            for (loss, right), valid in zip((of_tokens, of_spans), valids, strict=True)
        ]
        return found[0], found[1]

    def _validate(self, batch: dict[str, Tensor], masker: Masker) -> None:
        of_tokens, of_spans = (
            ({"loss": loss, "accuracy": share(right, count)}, count)
            for loss, right, count in self._losses(batch, masker(batch))
        )
        self._update(batch, *of_tokens)
        if self._counts(batch):
            self.boundary_means.update(*of_spans)

    def evaluation_metrics(self, split: str) -> dict[str, Tensor]:
        metrics = super().evaluation_metrics(split)
        if self.evaluation_masker is None:
            return metrics
        return metrics | {f"boundary_{name}": value for name, value in self.boundary_means.compute().items()}

    def print_metrics(self, split: str, metrics: Mapping[str, float], data: Corpus) -> None:
        super().print_metrics(split, metrics, data)
        loss, accuracy = (metrics[f"{split}/boundary_{name}"] for name in MEANS)
        console().print(f"  from both sides of spans: loss {loss:.4f} nats, accuracy {accuracy:.2%}")

    def _count(self, rows: int, length: int, positions: int) -> int:
        shape = rows, positions
        of_head = head_flops(self.to_count("head"), *shape, self.encoder.hidden_size)
        of_spans = head_flops(self.to_count("boundary_head"), *shape, 3 * self.encoder.hidden_size)
        # `super()` counts one position for each masked token, with the head
        everything = super()._count(rows, length, 3 * positions)
        return everything and everything - 2 * of_head + of_spans


def find_spans(positions: Tensor, valid: Tensor, documents: Tensor, longest: int) -> Spans:
    """Returns where masked positions are in their spans.

    Args:
        positions: (B, K) the masked positions of each row, in order; where `valid`.
        documents: (B, T) their numbers, -1 at padding.
        longest: how many positions of a span are predicted.
    """
    rows, length = documents.shape
    beyond = positions.where(valid, length)
    flags = torch.zeros(rows, length + 1, dtype=torch.bool, device=positions.device)
    masked = flags.scatter_(1, beyond, True)[:, :-1]
    place = torch.arange(length, device=positions.device).expand(rows, -1)
    alike = documents[:, 1:] == documents[:, :-1]  # of each position and the next one
    joined = F.pad(alike & masked[:, 1:] & masked[:, :-1], (1, 0))  # to the position before
    first = place.where(~joined, 0).cummax(1).values
    last = place.where(~F.pad(joined[:, 1:], (0, 1)), length).flip(1).cummin(1).values.flip(1)
    # whether the position on that side is in the same document
    has_before, has_after = F.pad(alike, (1, 0)), F.pad(alike, (0, 1))
    own = positions.where(valid, 0)
    first, last = first.gather(1, own), last.gather(1, own)
    offset = own - first
    found = valid & has_before.gather(1, first) & has_after.gather(1, last) & (offset < longest)
    return Spans((first - 1).where(found, 0), (last + 1).where(found, 0), offset.where(found, 0), found)
