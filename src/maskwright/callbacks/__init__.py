"""What happens beside training."""

from maskwright.callbacks.curve import LossCurve
from maskwright.callbacks.ending import FiniteLoss, Interrupt, NonFiniteLossError, ValidateAtEnd
from maskwright.callbacks.throughput import Throughput
from maskwright.callbacks.training_bar import TrainingBar

__all__ = [
    "FiniteLoss",
    "Interrupt",
    "LossCurve",
    "NonFiniteLossError",
    "Throughput",
    "TrainingBar",
    "ValidateAtEnd",
]
