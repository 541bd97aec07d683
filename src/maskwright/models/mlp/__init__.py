"""MLP."""

from maskwright.models.mlp.model import MLP

__all__ = ["MLP"]
