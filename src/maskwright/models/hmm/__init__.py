"""A hidden Markov model."""

from maskwright.models.hmm.model import HMM

__all__ = ["HMM"]
