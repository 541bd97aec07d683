"""The weight of each class in a training loss."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from maskwright.data.label_spec import LabelSpec

ClassWeights = list[float] | Literal["balanced"] | None


def weigh(class_weights: ClassWeights, labels: LabelSpec) -> Tensor | None:
    """Returns the weight of each class in the training loss, (C,); None if all classes have the same weight.

    Args:
        class_weights: the weights; or `balanced`, in inverse proportion to the frequencies of the classes in
            training, with a mean of 1 over the examples.
    Raises:
        ValueError: there are not as many weights as classes, or one is not above 0.
    """
    if class_weights is None:
        return None
    if class_weights == "balanced":
        return None if labels.counts is None else _balanced(labels.counts)
    weights = torch.tensor(class_weights, dtype=torch.float32)
    if len(weights) != len(labels.names) or (weights <= 0).any():
        raise ValueError(
            f"class_weights is {class_weights}; it must be 'balanced', or a number above 0 for each of "
            f"{', '.join(labels.names)}"
        )
    return weights


def weigh_given(class_weights: ClassWeights, labels: LabelSpec) -> Tensor | None:
    """Returns the weight of each label, (C,), where a text has it; where it has not, the weight is 1.

    Args:
        class_weights: the weights; or `balanced`, by which texts with a label weigh as much as those without; None
            weighs all alike.
    Raises:
        ValueError: there are not as many weights as labels, or one is not above 0.
    """
    if class_weights == "balanced":
        if labels.counts is None or labels.texts is None:
            return None
        counts = torch.tensor(labels.counts, dtype=torch.float32)
        return (labels.texts - counts).clamp(min=1) / counts.clamp(min=1)
    return weigh(class_weights, labels)


def _balanced(counts: Sequence[int]) -> Tensor:
    examples = torch.tensor(counts, dtype=torch.float32)
    return torch.where(examples > 0, examples.sum() / (examples.clamp(min=1) * (examples > 0).sum()), 0)
