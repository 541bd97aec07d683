import numpy as np
import pytest

from maskwright.text.joined import Joined

PARTS = [np.arange(10, 10 + number, dtype=np.uint16) * 3 for number in (5, 0, 7, 1, 30)]
WHOLE = np.concatenate(PARTS)


def test_parts_are_read_as_one_array():
    joined = Joined(PARTS)
    assert len(joined) == len(WHOLE)
    assert np.asarray(joined).tolist() == WHOLE.tolist()
    for first in (-50, -43, -3, 0, 4, 5, 11, 12, 13, 42, 60):
        for last in (-50, -2, 0, 5, 6, 12, 43, 60):
            assert joined[first:last].tolist() == WHOLE[first:last].tolist()
    assert [joined[at] for at in range(-43, 43)] == [WHOLE[at] for at in range(-43, 43)]
    index = np.array([[0, 1, 42, 41], [4, 5, 12, 13]])
    assert joined[index].tolist() == WHOLE[index].tolist()
    assert joined[index].dtype == np.uint16
    assert joined[np.zeros((0, 3), int)].shape == (0, 3)
    with pytest.raises(IndexError):
        joined[np.array([43])]


def test_places_go_on_from_part_to_part():
    ends = Joined([np.array([2, 5]), np.zeros(0, int), np.array([1]), np.array([4, 6])], counted=True)
    assert ends[:].tolist() == [2, 5, 6, 10, 12]
    assert ends[np.array([4, 0, 2])].tolist() == [12, 2, 6]
    assert ends[-1] == 12
    assert np.diff(ends, prepend=0).tolist() == [2, 3, 1, 4, 2]
