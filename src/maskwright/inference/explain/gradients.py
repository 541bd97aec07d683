"""Integrated gradients (Sundararajan et al., 2017), by captum.

They are taken along the straight line from the embeddings of the row with all units hidden to those of the row, and
along that of what counts in the logits say of both. What a unit gets is the sum over its tokens; all units together
get the difference of the two predictions (completeness). The baseline is the mask token, not padding or zero: a
model has learned what the mask token says, that something unknown stands here, and no other embedding means that.
It is also what occlusion and the scores of faithfulness hide units by, so that all speak of the same difference.
"""

import warnings
from typing import Any

import numpy as np
import torch

from maskwright.inference.explain.prediction import Prediction, Unsuited

TOLERANCE = 0.01  # of the sum of all absolute values
_DOUBLINGS = 3


def integrated_gradients(prediction: Prediction, steps: int = 50) -> np.ndarray:
    """Returns the value (U,) of each unit.

    Args:
        steps: points of the integral; they are doubled, up to 8 times as many, until what the values miss of the
            difference of the two predictions is a hundredth of their absolute sum.
    Raises:
        Unsuited: the encoder learned from counts, or has late masks. Its predictions are no function of embeddings
            of tokens, or there is none for the mask token.
    """
    if prediction.encoder.learns_from_counts:
        raise Unsuited("the model learned from counts, and has no embeddings to take gradients of")
    if getattr(prediction.encoder, "late_masks", 0):
        raise Unsuited(
            "the layers that do not read mask tokens know these by their ids, and not by their embeddings"
        )
    from captum.attr import LayerIntegratedGradients  # takes a second to import

    layers: Any = [prediction.encoder.embedding, *(table for table, _ in prediction.tables)]
    with warnings.catch_warnings(action="ignore"):  # that none of several layers may depend on another alone
        method = LayerIntegratedGradients(prediction.compute, layers)
    nothing, everything = np.zeros((1, prediction.count), bool), np.ones((1, prediction.count), bool)
    # cuDNN computes no gradients of an LSTM in evaluation mode
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for doubling in range(_DOUBLINGS + 1):
            found, missed = method.attribute(
                prediction.row(nothing),
                prediction.row(everything),
                n_steps=steps * 2**doubling,
                internal_batch_size=prediction.rows_at_once,
                return_convergence_delta=True,
            )
            values, *of_tables = (own[0].sum(-1).detach().double().cpu().numpy() for own in found)
            for (_, position), value in zip(prediction.tables, of_tables, strict=True):
                values[position] += value.sum()
            if abs(float(missed)) <= TOLERANCE * np.abs(values).sum():
                break
    return prediction.by_unit(values)
