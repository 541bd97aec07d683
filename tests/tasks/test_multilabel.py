"""Scores of several labels, compared with scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn import metrics

from maskwright.data.label_spec import LabelSpec
from maskwright.tasks.class_weights import weigh_given
from maskwright.tasks.multilabel import label_scores, micro


@pytest.fixture
def given():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, (80, 4))
    outputs = np.clip(0.6 * targets + 0.5 * rng.random((80, 4)), 0, 1)
    targets[:, 3] = 0  # a label that no text has
    outputs[0, 0] = 0.5  # which counts as given
    return outputs, targets


def test_scores_equal_those_of_scikit_learn(given):
    outputs, targets = given
    predicted = outputs >= 0.5
    scores = label_scores(outputs, targets)
    each = metrics.precision_recall_fscore_support(targets, predicted, average=None, zero_division=0)
    for name, expected in zip(("precision", "recall", "f1"), each, strict=False):
        assert scores[name] == pytest.approx(expected.tolist())
    average = metrics.average_precision_score(targets[:, :3], outputs[:, :3], average=None)
    assert scores["average_precision"][:3] == pytest.approx(average.tolist())
    assert np.isnan(scores["average_precision"][3])
    whole = metrics.precision_recall_fscore_support(targets, predicted, average="micro", zero_division=0)
    assert list(micro(outputs, targets).values()) == pytest.approx(whole[:3])


def test_balanced_weights_make_texts_with_and_without_a_label_weigh_alike():
    labels = LabelSpec("labels", ("a", "b"), counts=(20, 50), texts=100)
    assert weigh_given("balanced", labels).tolist() == [4.0, 1.0]
    assert weigh_given([2.0, 3.0], labels).tolist() == [2.0, 3.0]
    assert weigh_given(None, labels) is None
    with pytest.raises(ValueError, match="class_weights"):
        weigh_given([1.0], labels)


def test_the_baseline_is_the_loss_of_guessing_by_frequency():
    labels = LabelSpec("labels", ("a", "b"), counts=(20, 50), texts=100)
    targets = torch.zeros(100, 2)
    targets[:20, 0] = targets[:50, 1] = 1
    guessed = torch.tensor([0.2, 0.5]).expand(100, 2)
    assert labels.baseline == pytest.approx(torch.nn.functional.binary_cross_entropy(guessed, targets).item())
    assert LabelSpec.from_dict(labels.to_dict()) == labels
