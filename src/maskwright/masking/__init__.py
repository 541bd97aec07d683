"""Which positions are masked, how many, and what stands there instead. Plain torch."""

from maskwright.masking.corruption import Corruption
from maskwright.masking.draws import Draws
from maskwright.masking.masker import Masked, Masker
from maskwright.masking.ratio import Constant
from maskwright.masking.units import Tokens, Words
from maskwright.masking.weights import Uniform

__all__ = ["Constant", "Corruption", "Draws", "Masked", "Masker", "Tokens", "Uniform", "Words"]
