"""Which positions are masked, how many, and what stands there instead. Plain torch."""

from maskwright.masking.corruption import Corruption
from maskwright.masking.draws import Draws
from maskwright.masking.masker import Masked, Masker
from maskwright.masking.ratio import Constant, Cosine, Linear, Sampled, Steps
from maskwright.masking.units import Blocks, Collocations, Entities, Ngrams, Nothing, Runs, Spans, Tokens, Words
from maskwright.masking.weights import Adaptive, Frequency, Lexicon, Tfidf, Uniform

__all__ = [
    "Adaptive",
    "Blocks",
    "Collocations",
    "Constant",
    "Corruption",
    "Cosine",
    "Draws",
    "Entities",
    "Frequency",
    "Lexicon",
    "Linear",
    "Masked",
    "Masker",
    "Ngrams",
    "Nothing",
    "Runs",
    "Sampled",
    "Spans",
    "Steps",
    "Tfidf",
    "Tokens",
    "Uniform",
    "Words",
]
