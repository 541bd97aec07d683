"""What stands at a chosen position instead of its token."""

import math
from typing import Any, Literal

import torch
from torch import Tensor

from maskwright.masking.draws import Draws


class Corruption:
    """Shows [MASK], a random token or the token itself (80/10/10 in BERT, Devlin et al., 2019).

    Args:
        mask: share of the chosen positions that show the mask token.
        random: share that shows a token drawn from the ordinary (not special) vocabulary.
        keep: share that shows the token itself.
        per: whether one lot is drawn for each `token`, or one for all tokens of a `unit`.
        replacements: whether random tokens are drawn with equal chances (`uniform`) or as often as they
            occur in the training text (`frequency`).
    Raises:
        ValueError: the shares are negative or do not add up to 1, or a word is unknown.
    """

    def __init__(
        self,
        mask: float,
        random: float,
        keep: float,
        per: Literal["token", "unit"] = "token",
        replacements: Literal["uniform", "frequency"] = "uniform",
    ):
        # negated, so that shares that are no numbers are refused too
        if not (min(mask, random, keep) >= 0 and math.isclose(mask + random + keep, 1.0, abs_tol=1e-6)):
            raise ValueError(
                f"mask.corruption has the shares mask={mask}, random={random}, keep={keep}; "
                "they must not be negative and must add up to 1"
            )
        for name, value, known in (
            ("per", per, ("token", "unit")),
            ("replacements", replacements, ("uniform", "frequency")),
        ):
            if value not in known:
                raise ValueError(f"mask.corruption.{name} is '{value}'; it is one of {known}")
        self.mask, self.random, self.per, self.replacements = mask, random, per, replacements

    def __call__(
        self, targets: Tensor, positions: Tensor, lots: Tensor, draws: Draws, mask_id: int, vocabulary: Any
    ) -> Tensor:
        """What stands in (B, K) for `targets` (B, K) at `positions` (B, K).

        Args:
            lots: (B, K) the positions, or where `per` is `unit` the unit ids: equal ones share their lot.
            vocabulary: has `ordinary_ids` (N,), which may be drawn, and `cumulative` (N,) int64, how
                often they and those before them are to be drawn.
        """
        if self.mask == 1:
            return torch.full_like(targets, mask_id)
        if self.mask + self.random == 0:
            return targets
        lot = draws.uniform("corruption", lots)
        shown = targets.masked_fill(lot < self.mask, mask_id)
        if self.random == 0:
            return shown
        ordinary, draw = vocabulary.ordinary_ids, draws.uniform("replacement", positions)
        if self.replacements == "uniform":
            drawn = (draw * len(ordinary)).long()
        else:
            drawn = (draw * vocabulary.cumulative[-1]).long()
            drawn = torch.searchsorted(vocabulary.cumulative, drawn, right=True).clamp(max=len(ordinary) - 1)
        return torch.where((lot >= self.mask) & (lot < self.mask + self.random), ordinary[drawn], shown)
