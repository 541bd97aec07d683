"""Which tokens of a text are shown by its rows."""

import numpy as np
import pytest

from maskwright.data.windows import Segments, cut, whole_texts


@pytest.mark.parametrize(
    ("truncate", "expected"),
    [
        ("head", [[0, 1, 2, 3], [10, 11, 12]]),
        ("tail", [[5, 6, 7, 8], [10, 11, 12]]),
        ("windows", [[0, 1, 2, 3], [4, 5, 6, 7], [8], [10, 11, 12]]),
    ],
)
def test_long_texts_are_cut(truncate, expected):
    begins, ends = np.array([0, 10]), np.array([9, 13])
    found = cut(Segments(np.arange(2), begins, ends, begins, ends), 4, truncate)
    assert [list(range(*edges)) for edges in zip(found.begins, found.ends, strict=True)] == expected


def test_the_context_of_a_text_is_its_document():
    ends = np.array([3, 5, 9, 12])
    alone, within = whole_texts(ends), whole_texts(ends, np.array([1, 1, 2, 2]))
    for texts in (alone, within):
        assert texts.begins.tolist() == [0, 3, 5, 9]
        assert texts.ends.tolist() == [2, 4, 8, 11]
    assert (alone.least.tolist(), alone.most.tolist()) == ([0, 3, 5, 9], [2, 4, 8, 11])
    assert (within.least.tolist(), within.most.tolist()) == ([0, 0, 5, 5], [4, 4, 11, 11])
