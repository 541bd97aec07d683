"""Tables of probabilities that are learned from expected counts."""

import torch
from torch import Tensor, nn

from maskwright.core.roles import Role


class LogProbabilities(nn.Embedding):
    """A table of log-probabilities, whose rows can be looked up.

    A model in half precision computes with them in single precision, like one in mixed precision.

    Args:
        rows, columns: its shape.
        outcomes: the dimension along which it sums to 1.
        noise: standard deviation of the logits that it starts from.
    """

    def __init__(self, rows: int, columns: int, outcomes: int, noise: float):
        self.outcomes = outcomes
        super().__init__(rows, columns)
        with torch.no_grad():
            self.weight.copy_((self.weight * noise).log_softmax(outcomes))

    @property
    def weight_role(self) -> Role:
        return Role("distribution", outcomes=self.outcomes)

    def forward(self, rows: Tensor) -> Tensor:
        return _single(super().forward(rows))

    def table(self) -> Tensor:
        return _single(self.weight)

    def probabilities(self) -> Tensor:
        return self.table().exp()


def _single(tensor: Tensor) -> Tensor:
    """Returns a tensor in single precision, or in double if it has that."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
