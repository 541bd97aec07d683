"""The tokens around each position.

Shapes: B rows, T positions, N positions of all rows, V vocabulary. A token that is not known is -1.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def with_neighbours(ids: Tensor, left: int, right: int) -> Tensor:
    """Returns (B, T, left + right + 1) of ids (B, T): those before each, nearest first, those after it, and it."""
    length = ids.shape[1]
    padded = F.pad(ids, (left, right), value=-1)
    shifts = [*range(-1, -left - 1, -1), *range(1, right + 1), 0]
    return torch.stack([padded[:, left + shift : left + shift + length] for shift in shifts], -1)


def context_keys(context: Tensor, vocabulary_size: int) -> tuple[Tensor, Tensor]:
    """Returns a number for each context of n tokens (N, n) int64, and whether all its tokens are known, (N,) each.

    Its digits to the base V are the tokens. Numbers of more than 64 bits wrap, so that two contexts can have the
    same; of those in one corpus, only chance could bring two together.
    """
    keys = context.new_zeros(len(context))
    for column in context.T:
        keys = keys * vocabulary_size + column
    return keys, (context >= 0).all(1)
