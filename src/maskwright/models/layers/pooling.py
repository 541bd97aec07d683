"""One vector for a text: of its hidden states the first, the mean, the largest, or a learned mixture."""

from typing import Literal

import torch
from torch import Tensor, nn

Pooling = Literal["cls", "mean", "max", "attention"]


class Pool(nn.Module):
    """Hidden states (B, T, H) -> (B, H).

    Args:
        hidden_size: H.
        kind: `cls` takes the first position; `mean` and `max` all that are seen, [CLS] and [SEP] included;
            `attention` weighs them by a softmax over a learned score (Yang et al., 2016, without their hidden
            layer).
    """

    def __init__(self, hidden_size: int, kind: Pooling):
        super().__init__()
        self.kind = kind
        self.score = nn.Linear(hidden_size, 1, bias=False) if kind == "attention" else None
        if self.score is not None:
            nn.init.zeros_(self.score.weight)  # begins as the mean

    def forward(self, hidden_BTH: Tensor, seen: Tensor | None) -> Tensor:
        """Args:
        seen: (B, T) bool, False at padding; None where all is seen.
        """
        if self.kind == "cls":
            return hidden_BTH[:, 0]
        if self.kind == "max":
            hidden = hidden_BTH if seen is None else hidden_BTH.masked_fill(~seen[..., None], float("-inf"))
            return hidden.amax(dim=1)
        score = hidden_BTH.new_zeros(hidden_BTH.shape[:2]) if self.score is None else self.score(hidden_BTH)[..., 0]
        if seen is not None:
            score = score.masked_fill(~seen, float("-inf"))
        return torch.einsum("bt,bth->bh", score.softmax(dim=1), hidden_BTH)
