"""Pretrained."""

from maskwright.models.pretrained.load import Pretrained

__all__ = ["Pretrained"]
