"""Weights that depend on the errors of the model (AMLM)."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from scipy import stats

from maskwright.masking import Adaptive, Tokens, Vocabulary, testing


def adaptive(size, **settings):
    weights = Adaptive(**settings)
    weights.bind(Vocabulary(size, 0, range(1, size)))
    return weights


def observe(weights, targets, right, valid=None):
    targets, right = torch.tensor([targets]), torch.tensor([right])
    weights.observe(targets, right, torch.ones_like(right) if valid is None else torch.tensor([valid]))


def test_difficulty_is_a_running_average_of_the_error_rate():
    weights = adaptive(5, decay=0.2, every=2)
    observe(weights, [1, 1, 1, 1, 2, 3], [True, True, True, False, False, True], [True] * 5 + [False])
    weights.begin_step(1)  # not yet
    assert weights.difficulty.tolist() == [1] * 5
    observe(weights, [2, 1], [True, True])
    weights.begin_step(2)
    # 1: 4 of 5 right; 2: 1 of 2; others none of none, also the one that was only padding
    smoothed = [0.5, 4.5 / 6, 1.5 / 3, 0.5, 0.5]
    first = [0.2 + 0.8 * (1 - accuracy) for accuracy in smoothed]
    assert weights.difficulty.tolist() == pytest.approx(first)
    observe(weights, [1], [True])
    weights.begin_step(4)
    assert weights.difficulty[1].item() == pytest.approx(0.2 * first[1] + 0.8 * (1 - 1.5 / 2))


def test_changing_precision_or_device_keeps_the_difficulties():
    weights = adaptive(5, every=1)
    observe(weights, [1, 2], [True, False])
    weights.begin_step(1)
    before = weights.difficulty.clone()
    weights.bfloat16().double().to("cpu")
    assert weights.difficulty.dtype == torch.float64
    assert torch.equal(weights.difficulty, before)


def test_difficult_tokens_are_masked_more_often_at_the_same_ratio():
    weights = adaptive(testing.VOCABULARY, floor=0.1)
    weights.difficulty[: testing.VOCABULARY // 2] = 0
    batch = testing.make_batch(2000, 66)
    masker = testing.make_masker(units=Tokens(), weights=weights)
    hidden = testing.chosen(masker(batch), 66)
    assert (hidden.sum(1) == 10).all()
    is_easy = (batch["input_ids"] < testing.VOCABULARY // 2) & (batch["words"] >= 0)
    first = testing.chosen(testing.make_masker(units=Tokens(), weights=weights, ratio=1 / 64)(batch), 66)
    # the first draw of a row takes an easy token with probability 0.1 * easy / (0.1 * easy + difficult)
    number = is_easy.sum(1).double()
    expected = (0.1 * number / (0.1 * number + 64 - number)).sum().item()
    found = (first & is_easy).sum().item()
    assert stats.chisquare([found, 2000 - found], [expected, 2000 - expected]).pvalue > 1e-4


def test_difficulties_are_in_the_state_dict():
    weights = adaptive(5, every=1)
    observe(weights, [1, 2], [True, False])
    other = adaptive(5, every=1)
    other.load_state_dict(weights.state_dict())
    for one in (weights, other):
        one.begin_step(1)
    assert torch.equal(weights.difficulty, other.difficulty)
    assert weights.difficulty[1].item() == pytest.approx(0.2 + 0.8 * (1 - 1.5 / 2))


def test_a_second_masker_keeps_the_difficulties():
    weights = adaptive(5, every=1)
    observe(weights, [1, 2], [True, False])
    weights.begin_step(1)
    before = weights.difficulty.clone()
    weights.bind(Vocabulary(5, 0, range(1, 5)))
    assert torch.equal(weights.difficulty, before)
    weights.bind(Vocabulary(6, 0, range(1, 6)))  # of another vocabulary nothing is known
    assert weights.difficulty.tolist() == [1] * 6


def _rank(rank: int, address: str, out: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2)
    weights = adaptive(4, every=1)
    observe(weights, [1, 1], [rank == 0, rank == 0])
    weights.begin_step(1)
    observe(weights, [2 + rank], [True])
    torch.save(weights.state_dict(), f"{out}/{rank}.pt")
    dist.destroy_process_group()


def test_all_ranks_have_the_same_difficulties(tmp_path):
    mp.spawn(_rank, (str(tmp_path / "address"), str(tmp_path)), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for name in one:
        assert torch.equal(one[name], two[name])
    assert one["difficulty"].tolist() == pytest.approx([0.6, 0.2 + 0.8 * 0.5, 0.6, 0.6])  # half of four were right
    assert one["counts"].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decay": 1.0}, "decay is 1"),
        ({"every": 0}, "every is 0"),
        ({"floor": 0.0}, "floor is 0"),
        ({"floor": 2.0}, "floor is 2"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=rf"{message}"):
        Adaptive(**settings)
