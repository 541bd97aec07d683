"""The neighbours of each position, from which an interpolated cloze predicts.

Shapes: B rows, T positions, K of them, V vocabulary.
"""

import torch
from torch import Tensor, nn

from maskwright.core.types import Count, PositiveCount
from maskwright.models.encoder import BaseEncoder
from maskwright.models.layers.attention_mask import AttentionMask, padding_only
from maskwright.models.layers.gather import gather
from maskwright.models.layers.visible_token import Kept
from maskwright.models.ngram.contexts import with_neighbours
from maskwright.models.ngram.head import NGramHead


class NGram(BaseEncoder):
    """Tokens -> neighbours; its head has counts of the training split, and how they are interpolated.

    The hidden state of a position is the ids of `left` tokens before it, from the nearest, of `right` tokens after
    it, and of the token that stands there; -1 where a token is hidden, padding, or outside the row. It has no
    weights.

    The head counts the training split once, before the first step, and `optimizer=em` learns how to interpolate.

    Args:
        vocabulary_size: V.
        left, right: the most neighbours on each side that are counted together.
        minimum: contexts of two tokens or more that occur less often than this are left out.
        kept: the share of tokens at predicted positions that are the true ones, of those that are not hidden.
        mask_id: the id of the mask token.
    """

    learns_from_counts = True

    def __init__(
        self,
        vocabulary_size: int,
        left: Count = 2,
        right: Count = 2,
        minimum: PositiveCount = 1,
        kept: Kept = 0.5,
        mask_id: int = -1,
    ):
        super().__init__()
        self.vocabulary_size, self.left, self.right = vocabulary_size, left, right
        self.minimum, self.kept, self.mask_id = minimum, kept, mask_id
        self.hidden_size = left + right + 1
        self.embedding = nn.Embedding(vocabulary_size, 0).requires_grad_(False)
        self.layers = nn.ModuleList()

    def embed(self, input_ids: Tensor, attention_mask: AttentionMask = None) -> Tensor:
        """(B, T, left + right + 1) of input_ids (B, T): the ids alone, at the end."""
        ids = input_ids.masked_fill(input_ids == self.mask_id, -1)
        if (real := padding_only(attention_mask)) is not None:
            ids = ids.masked_fill(~real, -1)
        unknown = ids.new_full((*ids.shape, self.hidden_size - 1), -1)
        return torch.cat([unknown, ids[..., None]], -1).float()  # exact up to 2^24

    def encode(
        self, hidden_BTH: Tensor, attention_mask: AttentionMask = None, positions: Tensor | None = None
    ) -> Tensor:
        """(B, T, left + right + 1) of what `embed` returns, or (B, K, left + right + 1) at positions (B, K)."""
        found = with_neighbours(hidden_BTH[..., -1], self.left, self.right)
        return found if positions is None else gather(found, positions)

    def own_head(self) -> NGramHead:
        return NGramHead(self.vocabulary_size, self.left, self.right, self.minimum, self.kept)
