"""Convolutions over tokens."""

from maskwright.models.cnn.model import CNN

__all__ = ["CNN"]
