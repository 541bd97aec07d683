"""Which positions are masked, how many, and what replaces their tokens. Plain torch."""

from maskwright.masking.corruption import Corruption
from maskwright.masking.diffusion import Diffusion
from maskwright.masking.draws import Draws
from maskwright.masking.masker import Masked, Masker, Selection
from maskwright.masking.ratio import Constant, Cosine, Linear, Sampled, Steps
from maskwright.masking.units import Blocks, Ngrams, Nothing, Runs, Spans, Tokens, Words
from maskwright.masking.vocabulary import Vocabulary
from maskwright.masking.weights import Adaptive, Uniform

__all__ = [
    "Adaptive",
    "Blocks",
    "Constant",
    "Corruption",
    "Cosine",
    "Diffusion",
    "Draws",
    "Linear",
    "Masked",
    "Masker",
    "Ngrams",
    "Nothing",
    "Runs",
    "Sampled",
    "Selection",
    "Spans",
    "Steps",
    "Tokens",
    "Uniform",
    "Vocabulary",
    "Words",
]
