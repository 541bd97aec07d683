"""Attention roll-out (Abnar and Zuidema, 2020): how much of each token reaches where a prediction is read."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from maskwright.inference.explain.prediction import Prediction, Unsuited


@torch.no_grad()
def rollout(prediction: Prediction) -> np.ndarray:
    """Returns the share (U,) of each unit in what the prediction is read from; that of special tokens is missing.

    It does not depend on which class is explained, and says nothing of for or against.

    Raises:
        Unsuited: the encoder has no attention weights of all positions to all others.
    """
    layers = prediction.encoder.attention_weights(prediction.ids[None])
    length = len(prediction.ids)
    if not layers or any(weights.ndim != 4 or weights.shape[2:] != (length, length) for weights in layers):
        raise Unsuited("the model has no attention, or does not return its weights")
    shares = prediction.read_from.double() @ rolled_out([weights[0] for weights in layers])
    return prediction.by_unit(shares.cpu().numpy())


def rolled_out(layers: Sequence[Tensor]) -> Tensor:
    """Returns the share (T, T) that each hidden state of the last layer (rows) has of each embedding (columns).

    In each layer half comes from the position itself, by the residual connection, and half from where its heads
    attend, on average.

    Args:
        layers: the attention weights (N, T, T) of each layer, from the first to the last.
    """
    length = layers[0].shape[-1]
    own = torch.eye(length, dtype=torch.float64, device=layers[0].device)
    found = own
    for weights in layers:
        found = (weights.double().mean(0) + own) / 2 @ found
    return found
