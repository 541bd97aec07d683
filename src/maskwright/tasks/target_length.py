"""How many tokens the translation of a text has, predicted before it is written.

Shapes: B texts, H hidden size, R the largest difference, C candidates.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.models.layers.linear import ReadoutLinear


class TargetLength(nn.Module):
    """Predicts the difference between the numbers of tokens of a target and of its source, from -R to R.

    Mask-predict predicts the number itself (Ghazvininejad et al., 2019). A difference is learned from fewer
    examples, since it is distributed alike for sources of all lengths. A larger one counts as R.

    Args:
        hidden_size: H.
        most: R.
    """

    def __init__(self, hidden_size: int, most: int):
        super().__init__()
        self.most = most
        self.output = ReadoutLinear(hidden_size, 2 * most + 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Returns log-probabilities (B, 2 R + 1) of the differences, from hidden states (B, H)."""
        return self.output(hidden).float().log_softmax(-1)

    def loss(self, hidden: Tensor, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the mean cross-entropy in nats, and which differences are predicted correctly (B,).

        Args:
            hidden: (B, H).
            sources, targets: (B,) their numbers of tokens.
        """
        found = self(hidden)
        wanted = (targets - sources).clamp(-self.most, self.most) + self.most
        return F.nll_loss(found, wanted), found.argmax(-1) == wanted

    def candidates(self, hidden: Tensor, sources: Tensor, longest: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Returns the likeliest lengths (B, C), best first, and which of them are possible (B, C).

        Args:
            hidden: (B, H).
            sources: (B,) numbers of tokens.
            longest: (B,) the most tokens that there is room for, at least 1; a target has 1 or more.
            number: how many lengths are wanted; C is less if there are not as many.
        """
        lengths = sources[:, None] + torch.arange(-self.most, self.most + 1, device=sources.device)
        possible = (lengths >= 1) & (lengths <= longest[:, None])
        # a source so much longer than all targets that no difference is possible: as long as there is room
        nearest = lengths.clamp(min=1).minimum(longest[:, None])
        stuck = ~possible.any(1, keepdim=True)
        best = self(hidden).masked_fill(~possible & ~stuck, -torch.inf).topk(min(number, lengths.shape[1]), dim=1)
        valid = possible.gather(1, best.indices)
        valid[:, :1] |= stuck
        return nearest.gather(1, best.indices), valid
