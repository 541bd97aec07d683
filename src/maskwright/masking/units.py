"""What is masked as a whole: positions -> unit ids.

A unit function takes the batch and its draws and returns (B, T) int64: for each position the id, in
[0, T), of the unit that it belongs to, and -1 where nothing may be masked (special tokens, padding).
Positions of a row with equal ids are masked together or not at all.
"""

import torch
from torch import Tensor

from maskwright.masking.draws import Draws


class Tokens:
    """Every token by itself, as in BERT (Devlin et al., 2019)."""

    def __call__(self, batch: dict[str, Tensor], draws: Draws) -> Tensor:
        words = batch["words"]
        positions = torch.arange(words.shape[1], device=words.device)
        return torch.where(words >= 0, positions, -1)


class Words:
    """All tokens of a word together: the whole-word masking of BERT's second release (2019)."""

    def __call__(self, batch: dict[str, Tensor], draws: Draws) -> Tensor:
        return batch["words"].long()
