"""Lengths of translations, predicted by hand."""

import pytest
import torch

from maskwright.tasks.target_length import TargetLength


@pytest.fixture
def length() -> TargetLength:
    """Differences of -2 to 2, whose scores are the hidden state itself."""
    made = TargetLength(5, 2)
    with torch.no_grad():
        made.output.weight.copy_(torch.eye(5))
    return made


def test_loss_is_the_cross_entropy_of_the_difference(length):
    hidden = torch.tensor([[0.0, 0, 0, 1, 0], [0, 2, 0, 0, 0], [0, 0, 0, 0, 3]])
    sources, targets = torch.tensor([4, 4, 4]), torch.tensor([5, 4, 90])  # differences of 1, 0, and more than 2
    loss, right = length.loss(hidden, sources, targets)
    expected = -hidden.log_softmax(-1)[[0, 1, 2], [3, 2, 4]].mean()
    torch.testing.assert_close(loss, expected)
    assert right.tolist() == [True, False, True]


def test_the_likeliest_lengths_come_first_and_fit(length):
    hidden = torch.tensor([[1.0, 2, 3, 5, 4]] * 4)
    sources, longest = torch.tensor([10, 2, 10, 1]), torch.tensor([50, 50, 11, 50])
    lengths, possible = length.candidates(hidden, sources, longest, 3)
    assert lengths[possible.all(1)].tolist() == [[11, 12, 10], [3, 4, 2], [11, 10, 9], [2, 3, 1]]
    assert possible.all()
    _, possible = length.candidates(hidden, sources, longest, 9)
    assert possible.sum(1).tolist() == [5, 4, 4, 3]  # from 0 on, none is shorter than 1; none is longer than 11


def test_a_source_that_is_too_long_for_all_differences_gets_what_there_is_room_for(length):
    lengths, possible = length.candidates(torch.zeros(1, 5), torch.tensor([20]), torch.tensor([3]), 2)
    assert lengths[0, 0] == 3
    assert possible.tolist() == [[True, False]]
