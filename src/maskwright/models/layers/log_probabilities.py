"""Tables of probabilities that are learned from expected counts."""

import torch
from torch import Tensor, nn

from maskwright.core.roles import Role


class LogProbabilities(nn.Embedding):
    """A table of log-probabilities, whose rows can be looked up.

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

    def probabilities(self) -> Tensor:
        return self.weight.exp()
