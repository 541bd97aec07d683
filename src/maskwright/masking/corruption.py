"""What stands at a chosen position instead of its token."""

import math
from typing import Literal

import torch
from torch import Tensor

from maskwright.masking.draws import Draws


class Corruption:
    """Shows [MASK], a random token or the token itself (80/10/10 in BERT, Devlin et al., 2019).

    Args:
        mask: share of the chosen positions that show the mask token.
        random: share that shows a token drawn uniformly from the ordinary (not special) vocabulary.
        keep: share that shows the token itself.
        per: whether one lot is drawn for each `token`, or one for all tokens of a `unit`.
    Raises:
        ValueError: the shares are negative or do not add up to 1, or `per` is another word.
    """

    def __init__(self, mask: float, random: float, keep: float, per: Literal["token", "unit"] = "token"):
        if min(mask, random, keep) < 0 or not math.isclose(mask + random + keep, 1.0, abs_tol=1e-6):
            raise ValueError(
                f"mask.corruption has the shares mask={mask}, random={random}, keep={keep}; "
                "they must not be negative and must add up to 1"
            )
        if per not in ("token", "unit"):
            raise ValueError(f"mask.corruption.per is '{per}'; it is one of 'token', 'unit'")
        self.mask, self.random, self.per = mask, random, per

    def __call__(
        self,
        input_ids: Tensor,
        chosen: Tensor,
        units: Tensor,
        draws: Draws,
        mask_id: int,
        ordinary_ids: Tensor,
    ) -> Tensor:
        """input_ids (B, T) with the `chosen` (B, T) positions corrupted; `ordinary_ids` (N,) may be drawn."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
        lot = draws.uniform("corruption", units if self.per == "unit" else positions)
        drawn = (draws.uniform("replacement", positions) * len(ordinary_ids)).long()
        shown = torch.where(lot < self.mask, mask_id, input_ids)
        replaced = (lot >= self.mask) & (lot < self.mask + self.random)
        shown = torch.where(replaced, ordinary_ids[drawn], shown)
        return torch.where(chosen, shown, input_ids)
