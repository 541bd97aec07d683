"""A pre-norm transformer encoder, and its adapter to Hugging Face's ModernBERT."""

from maskwright.models.transformer.model import Transformer

__all__ = ["Transformer"]
