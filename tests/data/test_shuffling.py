import numpy as np
import pytest
from scipy import stats

from maskwright.core.distributed import Rank
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


def test_the_stream_can_be_read_at_any_position():
    together = stream(np.arange(300), 97, seed=1)
    for position in (0, 96, 97, 250):
        epoch, example = stream(np.array([position]), 97, seed=1)
        assert (epoch[0], example[0]) == (together[0][position], together[1][position])


def test_every_example_is_equally_likely_at_every_position():
    """The positions of the first and the last of 10 over 20,000 keys; chi-squared with 9 degrees of freedom."""
    keys = np.random.default_rng(0).integers(-(2**62), 2**62, 20_000)
    for index in (0, 9):
        places = permute(np.full(20_000, index), 10, keys)
        assert stats.chisquare(np.bincount(places, minlength=10)).pvalue > 1e-4


@pytest.mark.parametrize(("devices", "accumulate"), [(1, 1), (2, 1), (1, 4), (2, 2)])
def test_devices_and_micro_batches_share_each_step(devices, accumulate):
    """The hardware cuts a step into micro-batches, but does not change the contents of the step."""
    for step in (0, 3):
        shares = [iter(EndlessBatches(step, 16, accumulate, Rank(rank, devices))) for rank in range(devices)]
        for number in (step, step + 1):
            seen = [next(share) for _ in range(accumulate) for share in shares]
            assert sorted(np.concatenate(seen)) == list(range(16 * number, 16 * (number + 1)))
            assert len({len(micro_batch) for micro_batch in seen}) == 1
