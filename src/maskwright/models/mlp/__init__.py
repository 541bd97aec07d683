"""A window of neighbours and a multi-layer perceptron."""

from maskwright.models.mlp.model import MLP

__all__ = ["MLP"]
