"""What tokens are drawn from: a model's distribution at a masked position, sharpened and cut.

Shapes: V vocabulary; any dimensions before it.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Proposals:
    """How tokens are drawn from logits.

    Args:
        temperature: logits are divided by it.
        top_k: only the k most likely tokens are drawn; None draws any.
        top_p: only the most likely tokens that together have at least this probability, after the temperature and
            `top_k` (nucleus sampling; Holtzman et al., 2020).
    Raises:
        ValueError: one of them has no meaning.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(
                f"temperature is {self.temperature}; it is more than 0. The likeliest token is drawn by top_k=1."
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k is {self.top_k}; it is at least 1.")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it is more than 0 and at most 1.")

    def log_probabilities(self, logits: Tensor, ordinary: Tensor) -> Tensor:
        """Returns float64 log-probabilities (..., V), -inf for tokens that are not drawn.

        Of equally likely tokens at a cut, those with the smaller ids are kept.

        Args:
            logits: (..., V).
            ordinary: ids of the tokens that stand for text; others are never drawn.
        """
        scores = torch.full_like(logits, -torch.inf, dtype=torch.float64)
        scores[..., ordinary] = logits[..., ordinary].double() / self.temperature
        kept = len(ordinary) if self.top_k is None else self.top_k
        if kept < len(ordinary) or self.top_p < 1:
            ordered, ids = scores.sort(dim=-1, descending=True, stable=True)
            ordered[..., kept:] = -torch.inf
            shares = ordered.softmax(-1)
            # a token stays if those before it do not have the probability yet
            ordered[shares.cumsum(-1) - shares >= self.top_p] = -torch.inf
            scores = torch.full_like(scores, -torch.inf).scatter(-1, ids, ordered)
        return scores.log_softmax(-1)


def draw(log_probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Returns the tokens (...) that numbers in (0, 1) draw from float64 log-probabilities (..., V)."""
    cumulative = log_probabilities.exp().cumsum(-1)
    tokens = torch.searchsorted(cumulative, uniform[..., None] * cumulative[..., -1:], right=True)
    return tokens[..., 0].clamp(max=log_probabilities.shape[-1] - 1)
