"""Which words decided a prediction: occlusion, integrated gradients, attention roll-out, and which to believe."""

from maskwright.inference.explain.faithfulness import RANDOM, Faithfulness, faithfulness
from maskwright.inference.explain.gradients import integrated_gradients
from maskwright.inference.explain.methods import METHODS, Explanation, explain
from maskwright.inference.explain.occlusion import occlusion
from maskwright.inference.explain.prediction import Prediction, Unsuited
from maskwright.inference.explain.rollout import rolled_out, rollout

__all__ = [
    "METHODS",
    "RANDOM",
    "Explanation",
    "Faithfulness",
    "Prediction",
    "Unsuited",
    "explain",
    "faithfulness",
    "integrated_gradients",
    "occlusion",
    "rolled_out",
    "rollout",
]
