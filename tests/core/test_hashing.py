import numpy as np
import torch

from maskwright.core import hashing


def test_mix_is_splitmix64():
    # first outputs of the reference generator for seed 0 (Steele et al., 2014; also in Java's SplittableRandom)
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    counter = np.arange(1, 4, dtype=np.int64) * np.int64(hashing._INT64_GOLDEN)
    assert hashing.mix(counter).view(np.uint64).tolist() == expected


def test_numpy_and_torch_agree():
    keys = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 1000)
    ours = hashing.fold(keys, np.arange(1000))
    theirs = hashing.fold(torch.from_numpy(keys), torch.arange(1000))
    assert (ours == theirs.numpy()).all()
    assert (hashing.uniform(ours) == hashing.uniform(theirs).numpy()).all()


def test_the_operations_for_gpus_give_the_same_numbers():
    keys = torch.from_numpy(np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 1000))
    assert torch.equal(hashing._mix_tensor(keys), hashing.mix(keys))
    for number in (0, 1, 2**32 - 1, torch.arange(1000) - 500):
        product = (
            hashing._signed(number * hashing._GOLDEN) if isinstance(number, int) else number * hashing._INT64_GOLDEN
        )
        assert torch.equal(hashing._mix_tensor(keys + product), hashing.fold(keys, number))
        assert hashing.fold(keys, number).shape == (1000,)
    before = keys.clone()
    hashing.mix(keys)
    assert torch.equal(keys, before)


def test_start_depends_on_each_number_and_on_the_order_of_the_numbers():
    keys = {hashing.start(*numbers) for numbers in ([], [0], [1], [0, 0], [0, 1], [1, 0], [1, 1], [-1])}
    assert len(keys) == 8


def test_uniform_numbers_are_evenly_distributed_in_an_open_interval():
    numbers = hashing.uniform(hashing.fold(np.zeros(100_000, np.int64), np.arange(100_000)))
    assert 0 < numbers.min() < numbers.max() < 1
    counts, _ = np.histogram(numbers, 20, (0, 1))
    # 20 cells of 5,000: the statistic has mean 19 and standard deviation 6.2
    assert ((counts - 5000) ** 2 / 5000).sum() < 19 + 5 * 6.2
