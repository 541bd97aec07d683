"""Tokenizers, and where they come from."""

from maskwright.text.tokenizer.pretrained import Pretrained
from maskwright.text.tokenizer.trained import Trained
from maskwright.text.tokenizer.wrapper import SPECIAL_TOKENS, Tokenizer

__all__ = ["SPECIAL_TOKENS", "Pretrained", "Tokenizer", "Trained"]
