"""Rows in which translations are written: a text, and after it as many masks as its translation has tokens.

Shapes: B rows, S positions up to the target of the longest source, T positions of a row.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from maskwright.models.layers.attention_mask import source_first


class Sources(NamedTuple):
    """Texts to be translated, each as the beginning of a row.

    Attributes:
        input_ids: (B, S) up to where the target begins; anything after that.
        token_types: (B, S).
        tokens: (B,) how many tokens of text it has.
        begins: (B,) where the target begins.
        type_of_target: (B,) the type of its tokens.
    """

    input_ids: Tensor
    token_types: Tensor
    tokens: Tensor
    begins: Tensor
    type_of_target: Tensor

    @classmethod
    def of(cls, batch: dict[str, Tensor]) -> "Sources":
        """Returns the sources of a batch of `ParallelRows`."""
        begins = batch["begins"]
        most, types = int(begins.max()), batch["token_types"]
        of_target = types.gather(1, begins[:, None])[:, 0]
        return cls(batch["input_ids"][:, :most], types[:, :most], batch["source_tokens"], begins, of_target)

    def repeated(self, times: int) -> "Sources":
        """Returns each source `times` times, one after the other."""
        return Sources(*(tensor.repeat_interleave(times, dim=0) for tensor in self))


class Drafts(NamedTuple):
    """Rows with a source and the places of its translation.

    Attributes:
        input_ids, token_types: (B, T).
        attention_mask: (B, T, T), see `source_first`.
        free: (B, T) bool, the positions of the translation.
    """

    input_ids: Tensor
    token_types: Tensor
    attention_mask: Tensor
    free: Tensor


def drafts(sources: Sources, lengths: Tensor, mask_id: int, sep_id: int) -> Drafts:
    """Returns rows with `lengths` (B,) masks after each source, and a separator after them."""
    begins = sources.begins[:, None]
    ends = begins + lengths[:, None]
    column = torch.arange(int(ends.max()) + 1, device=begins.device)
    free = (column >= begins) & (column < ends)
    taken = column.clamp(max=sources.input_ids.shape[1] - 1).expand(len(begins), -1)
    ids = torch.where(column < begins, sources.input_ids.gather(1, taken), torch.where(free, mask_id, sep_id))
    types = torch.where(column < begins, sources.token_types.gather(1, taken), sources.type_of_target[:, None])
    return Drafts(ids, types, source_first(column <= ends, sources.begins), free)
