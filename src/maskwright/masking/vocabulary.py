"""What masks need to know about the vocabulary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class OrdinaryTokens(NamedTuple):
    """The tokens that may be random replacements, as tensors on the device of the masks."""

    ordinary_ids: Tensor  # (N,) int64
    cumulative: Tensor  # (N,) int64, how often these tokens and those before them are to be drawn


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The token ids of a tokenizer.

    Args:
        size: V, one more than the largest id.
        mask_id: id of the mask token.
        ordinary_ids: ids that may be random replacements: all but the special tokens.
        counts: (V,) how often each id occurs in training, for replacements drawn by frequency; if None, all are
            drawn with equal probabilities.
    """

    size: int
    mask_id: int
    ordinary_ids: Sequence[int]
    counts: Sequence[int] | np.ndarray | None = None

    def ordinary_tokens(self) -> OrdinaryTokens:
        """The ordinary ids and their cumulative counts as tensors."""
        ids = torch.tensor(self.ordinary_ids)
        # one is added to each count, so that every token of the vocabulary may be drawn
        often = torch.ones_like(ids) if self.counts is None else torch.as_tensor(self.counts).long()[ids] + 1
        return OrdinaryTokens(ids, often.cumsum(0))
