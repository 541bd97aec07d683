"""Scores of tags that are no entities are those of scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from maskwright.tasks.tag_scores import tag_scores


def test_scores_are_those_of_scikit_learn():
    """Also of tags that never occur, or are never predicted."""
    names = tuple("abcdef")
    draw = np.random.default_rng(1)
    targets, predicted = draw.integers(0, 4, 300), draw.integers(1, 5, 300)
    whole, of_tags = tag_scores(names, targets, predicted)
    means = precision_recall_fscore_support(targets, predicted, average="macro", zero_division=0)
    each = precision_recall_fscore_support(targets, predicted, labels=range(6), zero_division=0)
    for number, score in enumerate(("precision", "recall", "f1")):
        assert whole[score] == pytest.approx(means[number])
        assert [of_tags[name][score] for name in names] == pytest.approx(each[number].tolist())
