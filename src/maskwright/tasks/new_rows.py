"""The rows of tokens that were added to a vocabulary, which learn also where those of other tokens do not."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class NewRows:
    """Rows of some weights of a module.

    Args:
        weights: those with a row for each token, and the dimension that tokens are along.
        first, end: the rows from `first` up to `end` are new.
    """

    def __init__(self, weights: list[tuple[nn.Parameter, int]], first: int, end: int):
        self.weights, self.first, self.end = weights, first, end
        self._held: list[tuple[nn.Parameter, int]] = []  # those whose other rows do not learn

    def apply(self, module: nn.Module, alone: bool) -> None:
        """Lets the new rows learn, and sets `requires_grad` of their weights, and where they learn alone of others.

        Args:
            module: its other weights are set as they are to learn, where these rows do not learn alone.
            alone: whether nothing but these rows learns.
        """
        self._held = []
        if alone:
            for parameter in module.parameters():
                parameter.requires_grad_(False)
        for weight, dimension in self.weights:
            if not weight.requires_grad:
                self._held.append((weight, dimension))
                weight.requires_grad_(True)

    @torch.no_grad()
    def hide_other_gradients(self) -> None:
        """Sets the gradients of rows that do not learn to 0."""
        for weight, dimension in self._held:
            if weight.grad is not None:
                for others in self._others(weight.grad.movedim(dimension, 0)):
                    others.zero_()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps rows that do not learn as they are, whatever an optimizer does to whole weights, such as decay."""
        others = [own for weight, dim in self._held for own in self._others(weight.detach().movedim(dim, 0))]
        before = [own.clone() for own in others]
        yield
        for own, kept in zip(others, before, strict=True):
            own.copy_(kept)

    def _others(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return rows[: self.first], rows[self.end :]
