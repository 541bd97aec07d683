"""The methods that explain a prediction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from maskwright.inference.explain.faithfulness import Faithfulness, faithfulness
from maskwright.inference.explain.gradients import integrated_gradients
from maskwright.inference.explain.occlusion import occlusion
from maskwright.inference.explain.prediction import Prediction, Unsuited
from maskwright.inference.explain.rollout import rollout

METHODS: dict[str, Callable[[Prediction, int], np.ndarray]] = {
    "occlusion": lambda prediction, steps: occlusion(prediction),
    "integrated_gradients": integrated_gradients,
    "rollout": lambda prediction, steps: rollout(prediction),
}


@dataclass(frozen=True)
class Explanation:
    """What each unit of a row contributes to a prediction.

    Attributes:
        values: (U,) of each method.
        faithfulness: the scores of each method, and of random values.
        left_out: why, of each method that does not suit the encoder.
    """

    values: dict[str, np.ndarray]
    faithfulness: dict[str, Faithfulness]
    left_out: dict[str, str]


def explain(prediction: Prediction, methods: Sequence[str], steps: int = 50, seed: int = 0) -> Explanation:
    """Explains a prediction by several methods; those that do not suit the encoder are left out.

    Args:
        methods: names of `METHODS`.
        steps: see `integrated_gradients`.
        seed: of the random values that the scores are compared with.
    Raises:
        Unsuited: the only method does not suit the encoder.
    """
    values, left_out = {}, {}
    for name in methods:
        try:
            values[name] = METHODS[name](prediction, steps)
        except Unsuited as error:
            if len(methods) == 1:
                raise
            left_out[name] = str(error)
    return Explanation(values, faithfulness(prediction, values, seed), left_out)
