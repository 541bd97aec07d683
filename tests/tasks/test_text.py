"""Texts that are spread over several rows."""

import numpy as np

from maskwright.data.predicted import per_text


def test_the_outputs_of_the_windows_of_a_text_are_averaged():
    """In whatever order they come: long rows are evaluated first, and several devices may share them."""
    texts = np.array([7, 0, 7, 3, 7, 0])
    outputs = np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5], [0.4, 0.6], [0.8, 0.2], [0.0, 1.0]])
    targets = np.array([1, 0, 1, 1, 1, 0])
    found = per_text(texts, outputs, targets)
    assert found["texts"].tolist() == [0, 3, 7]
    assert np.allclose(found["outputs"], [[0.5, 0.5], [0.4, 0.6], [0.5, 0.5]])
    assert found["targets"].tolist() == [0, 1, 1]
