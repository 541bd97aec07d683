"""Occlusion: how far a prediction falls when a unit is hidden (Zeiler and Fergus, 2014; Li et al., 2016).

A masked language model has been trained with hidden words, so that a row with mask tokens is no strange one.
"""

import numpy as np

from maskwright.inference.explain.prediction import Prediction


def occlusion(prediction: Prediction) -> np.ndarray:
    """Returns the value (U,) of each unit: the number as it is, minus the number without the unit."""
    return prediction.whole - prediction.scores(np.eye(prediction.count, dtype=bool))
