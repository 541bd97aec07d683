"""Text from a masked language model."""

from maskwright.inference.generate.conditionals import Conditionals, Energy
from maskwright.inference.generate.diversity import Diversity, diversity
from maskwright.inference.generate.markov import Chains, Plan, Sampler, Target, run_chains
from maskwright.inference.generate.mask_predict import Decay, mask_predict, masked_share, still_masked
from maskwright.inference.generate.proposals import Proposals, draw
from maskwright.inference.generate.randomness import Randomness
from maskwright.inference.generate.template import template_of
from maskwright.inference.generate.unmask import Unmasking, unmask
from maskwright.inference.generate.writing import CHAINS, Method, Recipe, Written, write

__all__ = [
    "CHAINS",
    "Chains",
    "Conditionals",
    "Decay",
    "Diversity",
    "Energy",
    "Method",
    "Plan",
    "Proposals",
    "Randomness",
    "Recipe",
    "Sampler",
    "Target",
    "Unmasking",
    "Written",
    "diversity",
    "draw",
    "mask_predict",
    "masked_share",
    "run_chains",
    "still_masked",
    "template_of",
    "unmask",
    "write",
]
