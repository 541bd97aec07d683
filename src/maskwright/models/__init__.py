"""Encoders and heads: tokens -> hidden states -> predictions. Plain torch."""

from maskwright.models.cnn import CNN
from maskwright.models.heads import MaskedLMHead
from maskwright.models.lstm import LSTM
from maskwright.models.mlp import MLP
from maskwright.models.transformer import Transformer

__all__ = ["CNN", "LSTM", "MLP", "MaskedLMHead", "Transformer"]
