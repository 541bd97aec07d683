"""Encoders and heads: tokens -> hidden states -> predictions. Plain torch."""

from maskwright.models.heads import MaskedLMHead
from maskwright.models.transformer import Transformer

__all__ = ["MaskedLMHead", "Transformer"]
