"""Distributions match their definitions: lengths, weights, ratios, replacements."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from maskwright.masking import Constant, Cosine, Linear, Ngrams, Sampled, Spans, Steps, Tokens, Words, testing


def lengths_of_runs(units: torch.Tensor, words: torch.Tensor) -> np.ndarray:
    """(B, T) the number of words of the unit at each position; 0 for the last unit of a row, which may be cut."""
    ids, numbers = units.numpy(), words.numpy()
    width = ids.max() + 1
    own = np.where(ids >= 0, np.arange(len(ids))[:, None] * width + ids, len(ids) * width)
    opens = np.ones(ids.shape, bool)
    opens[:, 1:] = (numbers[:, 1:] != numbers[:, :-1]) | (ids[:, 1:] != ids[:, :-1])
    counts = np.bincount(own[opens], minlength=len(ids) * width + 1)
    return np.where((ids >= 0) & (ids < ids.max(1, keepdims=True)), counts[own], 0)


def geometric(p: float, limit: int) -> np.ndarray:
    shares = p * (1 - p) ** np.arange(limit)
    return shares / shares.sum()


def test_the_default_spans_have_a_mean_of_3_8_words():
    assert (geometric(0.2, 10) * np.arange(1, 11)).sum() == pytest.approx(3.8, abs=0.01)
    assert Spans().shares == pytest.approx(geometric(0.2, 10).tolist())


@pytest.mark.parametrize(
    ("units", "shares"),
    [
        (Spans(), geometric(0.2, 10)),
        (Spans(p=0.5, max_words=4), geometric(0.5, 4)),
        (Ngrams(3, "inverse"), np.array([6, 3, 2]) / 11),
        (Ngrams(4, "uniform"), np.ones(4) / 4),
        (Ngrams(3, [0.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0])),
    ],
    ids=["spans", "short spans", "inverse", "uniform", "list"],
)
def test_lengths_of_hidden_runs_follow_the_distribution(units, shares):
    """Chi-squared of the lengths of whole runs, for those that were drawn and those that were hidden."""
    batch = testing.make_batch(1500, 256, continues=0.2)
    masker = testing.make_masker(units=units)
    drawn = units(batch, masker.draws(batch), None)
    lengths = lengths_of_runs(drawn, batch["words"])
    hidden = testing.chosen(masker(batch), 256).numpy()
    opens = np.ones(lengths.shape, bool)
    opens[:, 1:] = drawn.numpy()[:, 1:] != drawn.numpy()[:, :-1]
    for counted in (opens & (lengths > 0), opens & (lengths > 0) & hidden):
        counts = np.bincount(lengths[counted], minlength=len(shares) + 1)[1:]
        assert len(counts) == len(shares)
        assert counts[shares == 0].sum() == 0
        possible = shares > 0
        if possible.sum() > 1:
            assert stats.chisquare(counts[possible], shares[possible] * counts.sum()).pvalue > 1e-4


@pytest.mark.parametrize("continues", [0.0, 0.3, 0.7])
def test_whether_a_word_is_hidden_does_not_depend_on_its_length(continues):
    batch = testing.make_batch(3000, 128, continues=continues)
    masker = testing.make_masker(units=Words())
    hidden = testing.chosen(masker(batch), 128).numpy()
    words = batch["words"].numpy()
    number = words + np.arange(len(words))[:, None] * 128
    _, first, length = np.unique(number[words >= 0], return_index=True, return_counts=True)
    masked = hidden[words >= 0][first]
    shares = [(masked[length == n].mean(), (length == n).sum()) for n in range(1, 9) if (length == n).sum() > 2000]
    overall = masked.mean()
    for share, count in shares:
        assert abs(share - overall) < 5 * math.sqrt(overall * (1 - overall) / count)


def test_a_row_hides_its_budget_on_average_whatever_its_words_are():
    """Within 1 % over 3,000 rows, even if words are long: exceeding the limit is compensated for."""
    for continues in (0.0, 0.3, 0.6):
        for ratio in (0.1, 0.15, 0.3):
            batch = testing.make_batch(3000, 128, continues=continues)
            masker = testing.make_masker(units=Words(), ratio=ratio)
            budget = masker.budget(batch, masker.draws(batch), 0.0).sum()
            assert masker(batch).valid.sum() / budget == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("continues", [0.9, 0.95])
def test_long_words_are_hidden_alike_and_make_up_the_budget(continues):
    """Words of ten tokens and more; those that are not too long are equally likely to be hidden."""
    batch = testing.make_batch(2000, 256, continues=continues)
    masker = testing.make_masker(units=Words())
    hidden = testing.chosen(masker(batch), 256).numpy()
    budget, units = testing.units_of(masker, batch)
    assert hidden.sum() / np.minimum(budget, (units >= 0).sum(1)).sum() == pytest.approx(1, abs=0.03)
    words = batch["words"].numpy()
    number = words + np.arange(len(words))[:, None] * 256
    _, first, length = np.unique(number[words >= 0], return_index=True, return_counts=True)
    masked = hidden[words >= 0][first]
    limit = 12 + 38 // 8
    assert not masked[length > limit].any()
    short, long = (masked[(length >= a) & (length <= b)].mean() for a, b in ((1, 8), (9, limit)))
    assert long / short == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("length", "least", "most"), [(34, 1.2, 1.4), (66, 1.0, 1.1), (130, 0.98, 1.02)])
def test_spans_in_short_rows_hide_more_than_their_budget(length, least, most):
    """If the budget is smaller than a span, one span is taken nevertheless; see docs/masking.md for the numbers."""
    batch = testing.make_batch(100_000 // length, length)
    masker = testing.make_masker(units=Spans())
    share = masker(batch).valid.sum() / masker.budget(batch, masker.draws(batch), 0.0).sum()
    assert least < share < most


class ByWord:
    """Weights by the number of the word."""

    def __init__(self, weights: list[float]):
        self.weights_of_words = torch.tensor(weights)

    def __call__(self, batch):
        return self.weights_of_words[batch["words"].clamp(min=0)]


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize("units", [Tokens(), Words()])
def test_weights_are_those_of_sampling_without_replacement(units, number):
    """Selection frequencies are as likely as sequential draws of one unit after the other, by weight, make them."""
    weights, rows = [0.0, 1.0, 2.0, 5.0, 0.5, 1.0], 30_000
    words = np.tile([-1, 0, 1, 2, 3, 4, 5, -1], (rows, 1))
    masker = testing.make_masker(units=units, weights=ByWord(weights), ratio=number / 6)
    found = testing.chosen(masker(testing.batch_of_words(words)), 8)[:, 1:-1].sum(0).numpy()

    shares = np.zeros(6)
    for order in itertools.permutations(range(1, 6), number):
        left = sum(weights) - np.cumsum([0, *(weights[unit] for unit in order)])[:-1]
        shares[list(order)] += np.prod([weights[unit] for unit in order] / left)
    assert shares.sum() == pytest.approx(number)
    assert found[0] == 0
    assert (np.abs(found - rows * shares) <= 5 * np.sqrt(rows * shares * (1 - shares))).all()


def test_a_unit_weighs_the_mean_of_its_positions():
    """A run of two words of weights 1 and 3 is as likely as one word of weight 2."""

    class Pairs:
        def __call__(self, batch, draws, budget):
            return torch.tensor([-1, 0, 0, 1, 2, -1]).expand_as(batch["words"])

    rows = 30_000
    words = np.tile([-1, 0, 1, 2, 3, -1], (rows, 1))
    masker = testing.make_masker(units=Pairs(), weights=ByWord([1.0, 3.0, 2.0, 4.0]), ratio=0.25)
    found = testing.chosen(masker(testing.batch_of_words(words)), 6)[:, [1, 3, 4]].sum(0).numpy()
    assert stats.chisquare(found, np.array([2, 2, 4]) / 8 * found.sum()).pvalue > 1e-4


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (Constant(0.2), {0.0: 0.2, 1.0: 0.2}),
        (Linear(0.3, 0.15), {0.0: 0.3, 0.25: 0.2625, 0.5: 0.225, 1.0: 0.15}),
        (Linear(0.1, 0.5), {0.0: 0.1, 0.5: 0.3, 1.0: 0.5}),
        (Cosine(0.3, 0.1), {0.0: 0.3, 0.25: 0.1 + 0.2 * (1 + math.sqrt(0.5)) / 2, 0.5: 0.2, 1.0: 0.1}),
        (Steps([0.4, 0.3, 0.15], [0.25, 0.5]), {0.0: 0.4, 0.24: 0.4, 0.25: 0.3, 0.49: 0.3, 0.5: 0.15, 1.0: 0.15}),
    ],
)
def test_ratios_at_given_points_of_the_run(ratio, expected):
    batch = testing.make_batch(20, 402)
    masker = testing.make_masker(units=Tokens(), ratio=ratio)
    for progress, share in expected.items():
        assert ratio(progress, None) == pytest.approx(share)
        assert share <= ratio.maximum + 1e-12
        assert (masker(batch, progress).valid.sum(1) == int(share * 400 + 0.5)).all()


def sampled(ratio: Sampled) -> np.ndarray:
    batch = testing.make_batch(4000, 102)
    masked = testing.make_masker(units=Tokens(), ratio=ratio)(batch)
    drawn = ratio(0.0, testing.make_masker().draws(batch)).numpy()
    assert (masked.valid.sum(1).numpy() == np.maximum(np.floor(drawn * 100 + 0.5), 1)).all()
    assert drawn.max() <= ratio.maximum
    return drawn


def test_sampled_ratios_follow_their_distribution():
    assert stats.kstest(sampled(Sampled("uniform", 0.1, 0.5)), stats.uniform(0.1, 0.4).cdf).pvalue > 1e-4
    # x = cos(pi / 2 * u): P(X <= x) = 1 - acos(x) / (pi / 2)
    found = sampled(Sampled("cosine"))
    assert stats.kstest(found, lambda x: 1 - np.arccos(x) / (math.pi / 2)).pvalue > 1e-4
    found = sampled(Sampled("set", values=[0.15, 0.3, 0.5]))
    counts = [np.isclose(found, value).sum() for value in (0.15, 0.3, 0.5)]
    assert sum(counts) == 4000
    assert stats.chisquare(counts).pvalue > 1e-4


def test_sampled_ratios_differ_between_epochs():
    batch = testing.make_batch(50, 102)
    masker = testing.make_masker(units=Tokens(), ratio=Sampled("uniform", 0.1, 0.9))
    later = batch | {"epochs": batch["epochs"] + 1}
    assert not torch.equal(masker(batch).valid.sum(1), masker(later).valid.sum(1))
