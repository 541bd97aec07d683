"""Optimizers and schedules. Plain torch."""

from maskwright.optim.em import em
from maskwright.optim.optimizers import ADAMW_LR, adam, adamw, muon, sgd
from maskwright.optim.schedules import Constant, Cosine, Linear, WarmupStableDecay

__all__ = ["ADAMW_LR", "Constant", "Cosine", "Linear", "WarmupStableDecay", "adam", "adamw", "em", "muon", "sgd"]
