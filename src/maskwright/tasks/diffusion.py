"""Masked diffusion (MDLM, Sahoo et al., 2024, arXiv 2406.07524; LLaDA, Nie et al., 2025, arXiv 2502.09992)."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from maskwright.core.terminal import console
from maskwright.core.types import PositiveCount
from maskwright.data.corpus import Corpus
from maskwright.masking import Diffusion, Draws, Masked, Masker
from maskwright.tasks.means import Means
from maskwright.tasks.mlm import MaskedLanguageModeling
from maskwright.tasks.spec import Metric, TaskSpec
from maskwright.tasks.token_prediction import METRICS, at_positions, only_valid, share, token_loss

BOUND = (Metric("bound", "min"), Metric("bits_per_byte", "min"))
_GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it, without their whole part, fill [0, 1] evenly
# examples whose ratios are spread so: of all examples, those that a limit leaves might lie close together
_GROUP = 32


class MaskedDiffusion(MaskedLanguageModeling):
    """Learns to predict masked tokens at all ratios, so that the loss bounds the negative log-likelihood of a text.

    The loss is the sum of the cross-entropy of the masked tokens of each example, times the weight of the ratio
    that was drawn for it (`Diffusion.weight`), divided by the number of tokens that could be masked. It is the
    bound for masks that hide tokens, or units of them, independently, and show the mask token alone; with other
    strategies it is a weighted loss of masked tokens.

    Evaluation computes the bound with masks of its own, of single tokens and the mask token alone, whatever the
    mask of training is: their ratios are uniform, spread evenly over neighbouring examples, and the same each time.

    Args:
        byte_lengths: (V,) the bytes of the text that each token stands for.
        bound_passes: ratios at which each example of an evaluation is seen, one in each of as many equal parts of
            the range.
        task: see `MaskedLanguageModeling`; the ratio of its masker has a `weight`, as `Diffusion`.
    """

    metrics: ClassVar[tuple[Metric, ...]] = (*METRICS, *BOUND)
    primary: ClassVar[str] = "bound"
    byte_lengths: Tensor

    def __init__(self, byte_lengths: Tensor, bound_passes: PositiveCount = 1, **task: Any):
        super().__init__(**task)
        self.bound_passes = bound_passes
        self.ratio_of_bound = Diffusion("linear")
        self.bound_means = Means(("bound", "bytes"))
        self.register_buffer("byte_lengths", byte_lengths, persistent=False)

    @classmethod
    def spec(cls, settings: Mapping[str, Any]) -> TaskSpec:
        return replace(super().spec(settings), weighs_ratios=True, learns_counts=False)

    def learn(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        assert self.masker is not None
        selection = self.masker.select(batch, self.progress())
        masked = self.masker.corrupt(batch["input_ids"], selection)
        weights = self.masker.ratio.weight(selection.ratio)  # type: ignore[attr-defined]
        total, right = self._weighted(self._hidden(batch, masked), masked, weights)
        self.masker.observe(masked, right)
        self._shape = (*masked.input_ids.shape, masked.positions.shape[1])
        tokens, count = (batch["words"] >= 0).sum(), masked.valid.sum()
        loss = total / tokens.clamp(min=1) * self.weigh("tokens", tokens)
        return loss, share(right, count) * self.weigh("masked", count)

    def _weighted(self, hidden_BKH: Tensor, masked: Masked, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the sum of the cross-entropy of masked tokens in nats, each times the weight of its example (B,),
        and which are predicted correctly (B, K)."""
        states, valid = only_valid(hidden_BKH, masked)
        factors = weights[:, None].expand_as(masked.valid)[masked.valid][None]
        loss, right, count = token_loss(self.head, states, valid, factors)
        return loss * count, at_positions(right, masked.valid)

    def step_totals(self, step: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"tokens": (step["words"] >= 0).sum(), "masked": super().step_totals(step)["tokens"]}

    def _validate(self, batch: dict[str, Tensor], masker: Masker) -> None:
        super()._validate(batch, masker)
        if self._counts(batch):
            self._add_bound(batch)

    def _add_bound(self, batch: dict[str, Tensor]) -> None:
        assert self.masker is not None
        maskable = batch["words"] >= 0
        tokens, total = maskable.sum(), torch.zeros((), device=maskable.device)
        for number in range(self.bound_passes):
            masked, ratio = self.noised(batch, number)
            hidden_BTH = self.token_encoder(masked.input_ids, self.attention_mask(batch))
            total = total + self._weighted(hidden_BTH, masked, self.ratio_of_bound.weight(ratio))[0]
        lengths = self.byte_lengths[batch["input_ids"]].where(maskable, 0).sum()
        means = {"bound": total / self.bound_passes, "bytes": lengths}
        self.bound_means.update({name: value / tokens.clamp(min=1) for name, value in means.items()}, tokens)

    def noised(self, batch: dict[str, Tensor], number: int) -> tuple[Masked, Tensor]:
        """Returns an evaluation batch as one of the `bound_passes` sees it, with its ratios (B,)."""
        assert self.masker is not None
        ids, words, examples = batch["input_ids"], batch["words"], batch["examples"]
        groups = Draws(0, torch.full_like(examples, number), examples // _GROUP)
        place = (groups.row("ratio")[:, 0] + (examples % _GROUP).double() * _GOLDEN) % 1.0
        ratio = self.ratio_of_bound.at((number + place) / self.bound_passes)
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        draws = Draws(0, torch.full_like(examples, number), examples)  # the same whatever the seed of the run
        valid = (draws.uniform("bound", positions) < ratio[:, None]) & (words >= 0)
        return Masked(ids.masked_fill(valid, self.masker.mask_id), positions.expand_as(ids), ids, valid), ratio

    def evaluation_metrics(self, split: str) -> dict[str, Tensor]:
        found = super().evaluation_metrics(split)
        if self.evaluation_masker is not None:
            means = self.bound_means.compute()
            found["bound"] = means["bound"]
            found["bits_per_byte"] = means["bound"] / (means["bytes"] * math.log(2)).clamp(min=1e-6)
        return found

    def report(self, split: str, metrics: Mapping[str, float], data: Corpus, folder: Path) -> None:
        if (bound := metrics.get(f"{split}/bound")) is not None:
            bits = metrics[f"{split}/bits_per_byte"]
            console().print(
                f"\n{split.capitalize()}: at most {bound:.4f} nats per token, {bits:.4f} bits per byte (bound on "
                "the negative log-likelihood)"
            )
        super().report(split, metrics, data, folder)
