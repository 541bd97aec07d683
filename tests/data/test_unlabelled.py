"""Windows of texts in a stream."""

import itertools

import pytest

from maskwright.data.unlabelled import windows


@pytest.mark.parametrize("margin", [0, 1, 3, 20])
@pytest.mark.parametrize("number", [0, 1, 4, 8, 11])
def test_windows_hold_every_item_once_between_its_neighbours(number, margin):
    items = list(range(number))
    found = list(windows(items, 4, margin))
    assert [item for _, own, _ in found for item in own] == items
    assert all(len(own) == 4 for _, own, _ in found[:-1])
    for before, own, after in found:
        assert before == items[max(own[0] - margin, 0) : own[0]]
        assert after == items[own[-1] + 1 : own[-1] + 1 + margin]


def test_a_stream_is_not_read_ahead_of_its_windows():
    read = itertools.count()
    next(windows(read, 4, 2))
    assert next(read) == 6
