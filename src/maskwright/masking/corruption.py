"""What replaces the token at a masked position; see `protocols.Corruption`."""

import math
from typing import Literal

import torch
from torch import Tensor

from maskwright.masking import protocols
from maskwright.masking.draws import Draws
from maskwright.masking.vocabulary import OrdinaryTokens


class Corruption(protocols.Corruption):
    """Replaces tokens by [MASK], by a random token, or not at all (80/10/10 in BERT, Devlin et al., 2019).

    Args:
        mask: share of the masked positions that show the mask token.
        random: share that shows a token drawn from the ordinary (not special) vocabulary.
        keep: share that shows the token itself.
        per: whether this is drawn for each `token`, or once for all tokens of a `unit`.
        replacements: whether random tokens are drawn with equal probabilities (`uniform`) or in proportion to
            their counts in the training text (`frequency`).
    Raises:
        ValueError: the shares are negative or do not add up to 1, or another argument is unknown.
    """

    def __init__(
        self,
        mask: float,
        random: float,
        keep: float,
        per: Literal["token", "unit"] = "token",
        replacements: Literal["uniform", "frequency"] = "uniform",
    ):
        # negated, so that shares that are not numbers are refused too
        if not (min(mask, random, keep) >= 0 and math.isclose(mask + random + keep, 1.0, abs_tol=1e-6)):
            raise ValueError(
                f"the shares mask={mask}, random={random}, keep={keep} must not be negative and must add up to 1"
            )
        for name, value, known in (
            ("per", per, ("token", "unit")),
            ("replacements", replacements, ("uniform", "frequency")),
        ):
            if value not in known:
                raise ValueError(f"{name} is '{value}'; it is one of {known}")
        self.mask, self.random, self.per, self.replacements = mask, random, per, replacements

    def __call__(
        self,
        targets: Tensor,
        positions: Tensor,
        draw_index: Tensor,
        draws: Draws,
        mask_id: int,
        vocabulary: OrdinaryTokens,
    ) -> Tensor:
        if self.mask == 1:
            return torch.full_like(targets, mask_id)
        if self.mask + self.random == 0:
            return targets
        kind = draws.uniform("corruption", draw_index)
        shown = targets.masked_fill(kind < self.mask, mask_id)
        if self.random == 0:
            return shown
        ordinary, place = vocabulary.ordinary_ids, draws.uniform("replacement", positions)
        if self.replacements == "uniform":
            drawn = (place * len(ordinary)).long()
        else:
            drawn = (place * vocabulary.cumulative[-1]).long()
            drawn = torch.searchsorted(vocabulary.cumulative, drawn, right=True).clamp(max=len(ordinary) - 1)
        return torch.where((kind >= self.mask) & (kind < self.mask + self.random), ordinary[drawn], shown)
