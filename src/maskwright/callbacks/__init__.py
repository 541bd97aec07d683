"""Lightning callbacks: checkpoints, early ends, pictures, throughput and progress."""

from maskwright.callbacks.checkpoints import Checkpoints, WholeCheckpoints
from maskwright.callbacks.curve import LossCurve
from maskwright.callbacks.ending import (
    FiniteLoss,
    Interrupt,
    NonFiniteLossError,
    StayStopped,
    ValidateAtEnd,
    ValidateBetweenSteps,
    time_is_up,
)
from maskwright.callbacks.forecast import Forecast
from maskwright.callbacks.mask_picture import MaskPicture
from maskwright.callbacks.pruning import Pruning
from maskwright.callbacks.throughput import Throughput
from maskwright.callbacks.training_bar import TrainingBar

__all__ = [
    "Checkpoints",
    "FiniteLoss",
    "Forecast",
    "Interrupt",
    "LossCurve",
    "MaskPicture",
    "NonFiniteLossError",
    "Pruning",
    "StayStopped",
    "Throughput",
    "TrainingBar",
    "ValidateAtEnd",
    "ValidateBetweenSteps",
    "WholeCheckpoints",
    "time_is_up",
]
