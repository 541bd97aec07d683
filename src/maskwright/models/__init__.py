"""Encoders and heads: tokens -> hidden states -> predictions. Plain torch."""

from maskwright.models.cnn.model import CNN
from maskwright.models.heads import MaskedLMHead
from maskwright.models.lstm.model import LSTM
from maskwright.models.mlp.model import MLP
from maskwright.models.transformer.model import Transformer

__all__ = ["CNN", "LSTM", "MLP", "MaskedLMHead", "Transformer"]
