"""Correlations of predicted values, compared with SciPy."""

import numpy as np
import pytest
import scipy.stats

from maskwright.data.label_spec import LabelSpec
from maskwright.tasks.regression import Regression


def test_correlations_equal_those_of_scipy():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 11, 90).astype(np.float32) / 2  # with ties, as in STS-B
    predicted = (targets + rng.normal(size=90)).round(1)
    task = Regression.__new__(Regression)
    task.__dict__.update(labels=LabelSpec("value"), mean=0.0, deviation=1.0)
    found = task.measure([np.arange(90), predicted[:, None], targets])
    assert found["pearson"] == pytest.approx(scipy.stats.pearsonr(targets, predicted).statistic)
    assert found["spearman"] == pytest.approx(scipy.stats.spearmanr(targets, predicted).statistic)
