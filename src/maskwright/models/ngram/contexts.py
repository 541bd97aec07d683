"""The tokens around each position.

Shapes: B rows, T positions, N positions of all rows, V vocabulary. A token that is not known is -1.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright.core.hashing import fold


def with_neighbours(ids: Tensor, left: int, right: int) -> Tensor:
    """Returns (B, T, left + right + 1) of ids (B, T): those before each, nearest first, those after it, and it."""
    length = ids.shape[1]
    padded = F.pad(ids, (left, right), value=-1)
    shifts = [*range(-1, -left - 1, -1), *range(1, right + 1), 0]
    return torch.stack([padded[:, left + shift : left + shift + length] for shift in shifts], -1)


def context_keys(context: Tensor, vocabulary_size: int) -> tuple[Tensor, Tensor]:
    """Returns a number for each context of n tokens (N, n) int64, and whether all its tokens are known, (N,) each.

    Its digits to the base V are the tokens, as long as V^n such numbers fit into 64 bits: two contexts then never
    have the same. Otherwise it is a hash of the tokens, by which any two of m contexts have the same number with a
    probability of about m^2 / 2^65.
    """
    exact = vocabulary_size ** context.shape[1] <= 2**63
    keys = context.new_zeros(len(context))
    for column in context.T:
        keys = keys * vocabulary_size + column if exact else fold(keys, column)
    return keys, (context >= 0).all(1)
