import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from maskwright.masking import Constant, Corruption, Masker, Tokens, Uniform, Words
from maskwright.masking.masker import gather

VOCABULARY = 1000
SPECIAL = 5  # ids below are special tokens
PAD, CLS, SEP, MASK = 0, 2, 3, 4
BERT = Corruption(0.8, 0.1, 0.1)


def make_masker(units=None, ratio=0.15, corruption=BERT, seed=0, weights=None) -> Masker:
    return Masker(
        units or Words(),
        weights or Uniform(),
        Constant(ratio),
        corruption,
        mask_id=MASK,
        ordinary_ids=list(range(SPECIAL, VOCABULARY)),
        seed=seed,
    )


def make_batch(rows: int, length: int, seed: int = 0, continues: float = 0.3) -> dict[str, torch.Tensor]:
    """Blocks of random words: a token continues the word before it with the given probability."""
    draw = np.random.default_rng(seed)
    ids = draw.integers(SPECIAL, VOCABULARY, (rows, length))
    words = (draw.random((rows, length)) > continues).cumsum(1)
    ids[:, 0], ids[:, -1] = CLS, SEP
    words[:, [0, -1]] = -1
    return {
        "input_ids": torch.from_numpy(ids),
        "words": torch.from_numpy(words) - (torch.from_numpy(words) > 0).long(),
        "examples": torch.arange(rows),
        "epochs": torch.zeros(rows, dtype=torch.long),
    }


def chosen(masked, length: int) -> torch.Tensor:
    """(B, T) bool of the masked positions."""
    out = torch.zeros(len(masked.positions), length, dtype=torch.bool)
    rows = torch.arange(len(out))[:, None].expand_as(masked.positions)
    out[rows[masked.valid], masked.positions[masked.valid]] = True
    return out


@pytest.mark.parametrize("units", [Tokens(), Words()])
@pytest.mark.parametrize("ratio", [0.05, 0.15, 0.3, 0.5])
def test_share_over_100k_tokens(units, ratio):
    batch = make_batch(800, 128)
    masked = make_masker(units, ratio)(batch)
    maskable = (batch["words"] >= 0).sum(1)
    assert maskable.sum() > 100_000
    # a row's budget is a whole number: up to half a token of its 126 off the ratio
    assert (masked.valid.sum() / maskable.sum()).item() == pytest.approx(ratio, abs=0.5 / 126)
    budget = (ratio * maskable + 0.5).floor().sum()
    assert (masked.valid.sum() / budget).item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("units", [Tokens(), Words()])
def test_each_row_meets_its_budget_within_a_unit(units):
    batch = make_batch(500, 64)
    masked = make_masker(units)(batch)
    words = batch["words"]
    budget = ((words >= 0).sum(1) * 0.15 + 0.5).floor()
    longest = torch.tensor([np.unique(row[row >= 0], return_counts=True)[1].max() for row in words.numpy()])
    longest = torch.ones_like(longest) if isinstance(units, Tokens) else longest
    assert ((masked.valid.sum(1) - budget).abs() < longest).all()


def test_corruption_is_80_10_10():
    batch = make_batch(5000, 128)
    masked = make_masker(Tokens())(batch)
    shown = masked.input_ids.gather(1, masked.positions)[masked.valid]
    targets = masked.targets[masked.valid]
    n = len(targets)
    random = ((shown != MASK) & (shown != targets)).sum().item()
    counts = [(shown == MASK).sum().item(), random, n - random - (shown == MASK).sum().item()]
    # a random replacement equals the token once in 995 times
    expected = [0.8 * n, 0.1 * n * 994 / 995, 0.1 * n * 996 / 995]
    assert n > 90_000
    assert stats.chisquare(counts, expected).pvalue > 1e-4


def test_replacements_cover_the_vocabulary_and_no_special_token():
    batch = make_batch(3000, 128)
    masked = make_masker(Tokens(), corruption=Corruption(0, 1, 0))(batch)
    shown = masked.input_ids.gather(1, masked.positions)[masked.valid]
    counts = shown.bincount(minlength=VOCABULARY)
    assert counts[:SPECIAL].sum() == 0
    assert stats.chisquare(counts[SPECIAL:].numpy()).pvalue > 1e-4


def test_lots_per_unit_are_shared_by_a_word():
    batch = make_batch(300, 128, continues=0.6)
    masked = make_masker(Words(), corruption=Corruption(0.5, 0, 0.5, per="unit"))(batch)
    is_mask = masked.input_ids == MASK
    picked, words = chosen(masked, 128), batch["words"]
    same = (words[:, 1:] == words[:, :-1]) & picked[:, 1:] & picked[:, :-1]
    assert same.any()
    assert (is_mask[:, 1:] == is_mask[:, :-1])[same].all()


def test_nothing_changes_outside_the_chosen_positions_and_targets_are_what_stood_there():
    batch = make_batch(200, 64)
    masked = make_masker()(batch)
    picked = chosen(masked, 64)
    assert (masked.input_ids == batch["input_ids"])[~picked].all()
    assert not (picked & (batch["words"] < 0)).any()
    assert (masked.targets == batch["input_ids"].gather(1, masked.positions))[masked.valid].all()
    assert (masked.positions.diff(dim=1) > 0)[masked.valid[:, 1:]].all()


def test_words_are_masked_whole():
    batch = make_batch(500, 128, continues=0.5)
    picked, words = chosen(make_masker(Words())(batch), 128), batch["words"]
    same = (words[:, 1:] == words[:, :-1]) & (words[:, 1:] >= 0)
    assert (picked[:, 1:] == picked[:, :-1])[same].all()


def test_a_mask_is_a_function_of_seed_epoch_and_example_alone():
    batch = make_batch(64, 96)
    masker = make_masker()
    whole = chosen(masker(batch), 96)
    shown = masker(batch).input_ids
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    for rows in order.split(7):
        part = masker({name: tensor[rows] for name, tensor in batch.items()})
        assert (chosen(part, 96) == whole[rows]).all()
        assert (part.input_ids == shown[rows]).all()
    for other in (
        make_masker(seed=1)(batch),
        masker(batch | {"epochs": torch.ones(64, dtype=torch.long)}),
        masker(batch | {"examples": batch["examples"] + 64}),
    ):
        overlap = (chosen(other, 96) & whole).sum() / whole.sum()
        assert 0.1 < overlap < 0.2  # 0.15 by chance


def test_every_position_is_equally_likely():
    batch = make_batch(1, 34)
    batch = {name: tensor.expand(20_000, *tensor.shape[1:]) for name, tensor in batch.items()}
    batch["examples"] = torch.arange(20_000)
    counts = chosen(make_masker(Tokens())(batch), 34)[:, 1:-1].sum(0)
    # without replacement the counts vary less than chi-squared assumes
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_weights_follow_the_exponential_race():
    weights = torch.tensor([0.0, 1.0, 2.0, 5.0])

    class ByPosition:
        def __call__(self, batch, units):
            return weights[(units % 4).clamp(min=0)]

    rows, length = 40_000, 6
    batch = make_batch(1, length)
    batch["words"] = torch.tensor([[-1, 0, 1, 2, 3, -1]])
    batch = {name: tensor.expand(rows, *tensor.shape[1:]) for name, tensor in batch.items()}
    batch["examples"] = torch.arange(rows)
    masker = make_masker(Words(), ratio=0.25, weights=ByPosition())
    counts = chosen(masker(batch), length).sum(0)[1:-1]
    assert counts[0] == 0
    assert stats.chisquare(counts[1:].numpy(), (weights[1:] / 8 * rows).numpy()).pvalue > 1e-4


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([-1, -1, -1, -1], 0),  # nothing maskable
        ([-1, 0, -1, -1], 1),  # one token: at least one is masked
        ([-1, 0, 0, -1], 2),  # one word over its budget of one
        ([-1, *[0] * 60, -1], 9),  # one giant word, far over the budget of nine: single tokens
        ([-1, *[0] * 30, *[1] * 30, *[2] * 30, *[3] * 36, -1], 19),  # no word fits: single tokens
    ],
)
def test_short_rows(words, expected):
    length = len(words)
    batch = make_batch(1, length) | {"words": torch.tensor([words])}
    masked = make_masker(Words())(batch)
    assert masked.valid.sum() == expected
    assert masked.positions.shape == masked.targets.shape == masked.valid.shape


def test_a_giant_word_does_not_keep_others_from_being_masked():
    words = [[-1, *[0] * 60, *range(1, 67), -1]]
    batch = make_batch(1, 128) | {"words": torch.tensor(words)}
    batch = {name: tensor.expand(200, *tensor.shape[1:]) for name, tensor in batch.items()}
    batch["examples"] = torch.arange(200)
    masked = make_masker(Words())(batch)
    assert (masked.valid.sum(1) == 19).all()


@pytest.mark.parametrize("ratio", [0.01, 0.15, 0.5, 1.0])
@pytest.mark.parametrize("length", [8, 64, 300])
def test_the_bound_that_gpus_use_holds_and_changes_nothing(ratio, length):
    batch = make_batch(300, length, continues=0.7)
    masker = make_masker(Words(), ratio)
    masked = masker(batch)
    bound = masker.bound(length)
    assert masked.valid.shape[1] <= bound <= length
    positions, valid = gather(chosen(masked, length), bound)
    assert torch.equal(valid.sum(1), masked.valid.sum(1))
    assert torch.equal(positions[valid], masked.positions[masked.valid])
    assert (positions[~valid] == 0).all()


def test_ratio_one_masks_everything_maskable():
    batch = make_batch(10, 64)
    assert (chosen(make_masker(ratio=1.0)(batch), 64) == (batch["words"] >= 0)).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=30), min_size=1, max_size=5),
    st.floats(0.01, 1.0),
    st.integers(0, 2**40),
)
def test_random_rows(rows, ratio, example):
    """Any mixture of words of any length and of gaps: whole units, no gap, the budget, valid indices."""
    length = max(sum(row) + len(row) for row in rows)
    words = torch.full((len(rows), length), -1)
    for i, row in enumerate(rows):
        at = 0
        for word, size in enumerate(row):
            words[i, at : at + size] = word
            at += size + 1
    batch = make_batch(len(rows), length) | {"words": words, "examples": torch.arange(len(rows)) + example}
    masked = make_masker(Words(), ratio)(batch)
    picked = chosen(masked, length)
    assert not (picked & (words < 0)).any()
    for row, mask in zip(words, picked, strict=True):
        sizes = [int((row == word).sum()) for word in row[row >= 0].unique()]
        assert all(mask[row == word].all() or not mask[row == word].any() for word in row[row >= 0].unique())
        budget = max(int(np.float32(ratio) * sum(sizes) + np.float32(0.5)), 1)
        if sizes:
            assert abs(int(mask.sum()) - budget) <= max(sizes)


def test_wrong_settings_are_refused():
    for ratio in (0, -0.1, 1.1):
        with pytest.raises(ValueError, match=r"mask\.ratio"):
            Constant(ratio)
    with pytest.raises(ValueError, match="add up to 1"):
        Corruption(0.8, 0.1, 0.2)
    with pytest.raises(ValueError, match="negative"):
        Corruption(1.2, -0.1, -0.1)
    with pytest.raises(ValueError, match="per"):
        Corruption(0.8, 0.1, 0.1, per="word")
