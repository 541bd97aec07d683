"""Encoders of the Hugging Face hub."""

from maskwright.models.pretrained.classifier import PretrainedClassifier
from maskwright.models.pretrained.load import Pretrained, saved_architecture

__all__ = ["Pretrained", "PretrainedClassifier", "saved_architecture"]
