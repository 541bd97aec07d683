"""Transformer."""

from maskwright.models.transformer.model import Transformer

__all__ = ["Transformer"]
