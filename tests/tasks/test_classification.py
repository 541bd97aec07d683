"""Scores of classes, compared with scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import matthews_corrcoef, precision_recall_fscore_support

from maskwright.tasks.classification import class_scores, macro, matthews


@pytest.mark.parametrize("present", [(0, 1, 2, 3), (0, 1), (2,)], ids=str)
def test_scores_equal_those_of_scikit_learn(present):
    rng = np.random.default_rng(len(present))
    targets, predicted = rng.choice(present, 60), rng.choice([*present[:2], 1], 60)
    scores = class_scores(torch.tensor(predicted), torch.tensor(targets), 4)
    each = precision_recall_fscore_support(targets, predicted, labels=range(4), average=None, zero_division=0)
    for name, expected in zip(("precision", "recall", "f1"), each, strict=False):
        assert scores[name] == pytest.approx(expected.tolist())
    whole = precision_recall_fscore_support(targets, predicted, average="macro", zero_division=0)
    assert list(macro(scores).values()) == pytest.approx(whole[:3])
    assert np.array(scores["confusion"]).sum() == 60
    assert matthews(np.array(scores["confusion"])) == pytest.approx(matthews_corrcoef(targets, predicted))
