"""What a trained model is asked: plain torch over an encoder, a head and a tokenizer."""

from maskwright.inference.masked_model import MaskedModel, Query
from maskwright.inference.text_rows import Encoded, Window, windows

__all__ = ["Encoded", "MaskedModel", "Query", "Window", "windows"]
