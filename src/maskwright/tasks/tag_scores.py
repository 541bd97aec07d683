"""Scores of tags that are no entities: of each tag by itself."""

import numpy as np
import torch

from maskwright.tasks.classification import class_scores, macro


def tag_scores(
    names: tuple[str, ...], targets: np.ndarray, predicted: np.ndarray
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Returns precision, recall and F1 of tags: their means over the tags that occur, and those of each tag.

    They are those of `precision_recall_fscore_support` in scikit-learn, the means with `average="macro"`.

    Args:
        names: of the C tags.
        targets, predicted: (W,) int64, the numbers of the tags of all words.
    """
    scores = class_scores(torch.from_numpy(predicted), torch.from_numpy(targets), len(names))
    whole = macro(scores)
    return whole, {name: {score: scores[score][i] for score in whole} for i, name in enumerate(names)}
