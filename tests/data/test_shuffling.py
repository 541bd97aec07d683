import numpy as np
import pytest
from scipy import stats

from maskwright.data.shuffling import EndlessBatches, permute, stream


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 17, 1000, 4097])
def test_each_epoch_is_a_permutation(size):
    epochs, examples = stream(np.arange(3 * size), size, seed=7)
    assert epochs.tolist() == np.repeat([0, 1, 2], size).tolist()
    for epoch in range(3):
        assert sorted(examples[epochs == epoch]) == list(range(size))


def test_epochs_and_seeds_differ():
    orders = {tuple(stream(np.arange(e * 50, (e + 1) * 50), 50, seed)[1]) for e in range(5) for seed in range(5)}
    assert len(orders) == 25


def test_any_position_can_be_asked_alone():
    together = stream(np.arange(300), 97, seed=1)
    for position in (0, 96, 97, 250):
        epoch, example = stream(np.array([position]), 97, seed=1)
        assert (epoch[0], example[0]) == (together[0][position], together[1][position])


def test_every_example_is_equally_likely_at_every_place():
    """Over 20,000 keys, where the first of 10 goes; chi-squared with 9 degrees of freedom."""
    keys = np.random.default_rng(0).integers(-(2**62), 2**62, 20_000)
    for index in (0, 9):
        places = permute(np.full(20_000, index), 10, keys)
        assert stats.chisquare(np.bincount(places, minlength=10)).pvalue > 1e-4


@pytest.mark.parametrize(("devices", "accumulate"), [(1, 1), (2, 1), (1, 4), (2, 2)])
def test_devices_and_pieces_share_each_step(devices, accumulate):
    """Hardware cuts a step into parts, and changes nothing about what the step holds."""
    for step in (0, 3):
        parts = [iter(EndlessBatches(step, 16, accumulate, rank, devices)) for rank in range(devices)]
        for number in (step, step + 1):
            seen = [next(part) for _ in range(accumulate) for part in parts]
            assert sorted(np.concatenate(seen)) == list(range(16 * number, 16 * (number + 1)))
            assert len({len(piece) for piece in seen}) == 1
