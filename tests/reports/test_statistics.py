"""Statistics over seeds and test items, against libraries, closed forms and simulation."""

import gc
import math
import re
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

from maskwright.reports.statistics import (
    compare,
    equivalence_test,
    grouped_bootstrap,
    hierarchical_bootstrap,
    holm,
    paired_differences,
    power,
    seeds_needed,
    sign_flip_test,
    smallest_difference,
    t_interval,
)
from tests.conftest import ROOT

OWN, BASELINE = {2: 0.93, 1: 0.91, 3: 0.90}, {1: 0.90, 2: 0.90, 3: 0.89}


def test_nothing_slow_is_imported_before_it_is_needed():
    code = "import sys, maskwright.reports.statistics; print({'torch', 'scipy', 'statsmodels'} & {*sys.modules})"
    environment = {"PYTHONPATH": str(ROOT / "src")}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert shown.stdout == "set()\n"


def test_a_comparison_equals_those_of_scipy_and_statsmodels():
    found = compare(OWN, BASELINE, margin=0.02)
    own, baseline = np.array([0.91, 0.93, 0.90]), np.array([0.90, 0.90, 0.89])
    expected = stats.ttest_rel(own, baseline)
    assert (found.n, found.p) == (3, pytest.approx(expected.pvalue))
    assert found.difference[1:] == pytest.approx(tuple(expected.confidence_interval()))
    assert found.difference.value == pytest.approx(0.05 / 3)
    assert found.deviation == pytest.approx((own - baseline).std(ddof=1))
    assert found.p_equivalence == pytest.approx(ttost_paired(own, baseline, -0.02, 0.02)[0])
    assert found.p_sign_flip == 0.25  # the least that three seeds can have
    assert compare(OWN, BASELINE).p_equivalence is None


def test_intervals_are_those_of_student():
    value, low, high = t_interval([1.0, 3.0])
    assert (value, high - value, value - low) == (2, pytest.approx(12.706, abs=1e-3), pytest.approx(high - value))
    assert t_interval([0.0, 1.0] * 20).high - 0.5 == pytest.approx(0.16194, abs=2e-4)  # t = 2.0227
    assert t_interval([1.0, 1.0]) == (1, 1, 1)


@pytest.mark.parametrize("margin", [0.001, 0.01, 0.03, 0.1])
def test_arms_are_equivalent_at_5_percent_where_the_90_percent_interval_is_within_the_margin(margin):
    differences = paired_differences(OWN, BASELINE)
    _, low, high = t_interval(differences, 0.9)
    assert (equivalence_test(differences, margin) < 0.05) == (-margin < low and high < margin)


def test_the_sign_flip_test_counts_all_signs():
    assert sign_flip_test([-1.0, 2.0, 2.5]) == 0.5  # of 8 sums, 4 are at least as far from 0 as 3.5
    assert sign_flip_test(range(1, 11)) == 2 / 2**10
    many = np.arange(1, 21) - 9.0  # too many to count
    assert (
        sign_flip_test(many) == sign_flip_test(many) == pytest.approx(stats.ttest_1samp(many, 0).pvalue, abs=0.03)
    )


def test_holm_corrects_by_rank():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])  # 3 · 0.01, 2 · 0.03, no less than before
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


@pytest.mark.parametrize("n", [5, 10, 40])
@pytest.mark.parametrize("effect", [0.3, 1.0])
def test_power_equals_that_of_statsmodels_where_it_is_right(n, effect):
    assert power(-effect * 3, 3, n) == pytest.approx(TTestPower().power(effect, n, 0.05), abs=1e-4)


@pytest.mark.parametrize("n", [2, 3, 6])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_the_smallest_difference_is_found_as_often_as_stated(n, alpha):
    difference = smallest_difference(2.0, n, chance=0.8, alpha=alpha)
    samples = np.random.default_rng(1).normal(difference, 2.0, (40_000, n))
    t = samples.mean(1) / samples.std(1, ddof=1) * math.sqrt(n)
    found = (abs(t) > stats.t.ppf(1 - alpha / 2, n - 1)).mean()
    assert found == pytest.approx(0.8, abs=0.008)  # four standard errors


def test_three_seeds_find_differences_of_three_deviations():
    assert smallest_difference(1.0, 3) == pytest.approx(3.264, abs=1e-3)  # TTestPower, which is right there
    assert seeds_needed(3.265, 1.0) == 3
    assert seeds_needed(3.263, 1.0) == 4
    assert seeds_needed(0.5, 1.0) == math.ceil(TTestPower().solve_power(0.5, alpha=0.05, power=0.8))
    with pytest.raises(ValueError, match="more than 100,000 seeds"):
        seeds_needed(1e-4, 1.0)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_t_intervals_hold_the_true_difference_as_often_as_stated(n):
    draws = np.random.default_rng(n)
    intervals = [t_interval(sample) for sample in draws.normal(0.3, 1, (1000, n))]
    assert np.mean([low < 0.3 < high for _, low, high in intervals]) == pytest.approx(0.95, abs=0.028)


def test_errors_over_a_family_are_as_rare_as_stated(monkeypatch):
    monkeypatch.setattr(gc, "collect", lambda: 0)  # statsmodels collects in each call, all that the tests hold
    p_values = np.random.default_rng(1).uniform(size=(500, 6))  # of tests without a difference
    assert np.mean([min(holm(family)) < 0.05 for family in p_values]) == pytest.approx(0.05, abs=0.039)


def scores(draws: np.random.Generator, seeds: int, by_seed: float, by_item: float, items: int = 50) -> np.ndarray:
    """Scores of two arms (2, S, N) that differ by 0.2, and by normal amounts with these deviations."""
    base = draws.normal(0, 1, (seeds, 1)) + draws.normal(0, 1, (1, items))
    gains = 0.2 + draws.normal(0, by_seed, (seeds, 1)) + draws.normal(0, by_item, (1, items))
    return np.stack((base + gains, base)) + draws.normal(0, 0.3, (2, seeds, items))


@pytest.mark.parametrize(
    ("seeds", "by_seed", "by_item", "low", "high"),
    [
        (3, 0.3, 0.1, 0.66, 0.84),  # too few seeds to be resampled, as the docstring says
        (15, 0.3, 0.5, 0.89, 0.98),
        (3, 0.05, 1, 0.89, 0.98),  # items matter more
    ],
)
def test_bootstrap_intervals_over_seeds_and_items_hold_the_true_difference(seeds, by_seed, by_item, low, high):
    draws = np.random.default_rng(seeds)
    held = []
    for _ in range(300):
        interval = hierarchical_bootstrap(*scores(draws, seeds, by_seed, by_item), resamples=200)
        held.append(interval.low < 0.2 < interval.high)
    assert low < np.mean(held) < high


def test_the_bootstrap_has_the_variance_of_its_two_stages():
    own = np.random.default_rng(1).normal(size=(6, 50))
    low, high = hierarchical_bootstrap(own, level=0.6827, resamples=20_000)[1:]
    seeds, items = own.mean(1).var() / 6, own.mean(0).var() / 50
    rest = (own - own.mean(1, keepdims=True) - own.mean(0) + own.mean()).var() / 300
    assert (high - low) / 2 == pytest.approx(math.sqrt(seeds + items + rest), rel=0.03)


def test_seeds_in_pairs_and_items_in_pairs_take_out_what_arms_share():
    own, baseline = scores(np.random.default_rng(1), 5, 0.3, 0.5)
    widths = [
        high - low
        for _, low, high in (
            hierarchical_bootstrap(own, baseline),
            hierarchical_bootstrap(own, baseline, paired=False),
            hierarchical_bootstrap(own),
        )
    ]
    assert widths[0] < widths[1] / 2
    assert hierarchical_bootstrap(own + 0.2, own) == pytest.approx((0.2, 0.2, 0.2))
    assert hierarchical_bootstrap(own[:3], own, paired=False).value == pytest.approx(own[:3].mean() - own.mean())


def test_the_bootstrap_is_a_function_of_its_seed_and_not_of_memory(monkeypatch):
    own = np.random.default_rng(1).normal(size=(3, 11))
    once = hierarchical_bootstrap(own)
    assert once != hierarchical_bootstrap(own, seed=2)
    monkeypatch.setattr("maskwright.reports.statistics.bootstrap.AT_ONCE", 100)
    assert hierarchical_bootstrap(own) == once
    groups = own.tolist()
    assert grouped_bootstrap(groups) == grouped_bootstrap(groups) != grouped_bootstrap(groups, seed=2)


def test_groups_count_the_same_whatever_their_size():
    assert grouped_bootstrap([[1.0] * 30, [0.0]]).value == 0.5
    assert grouped_bootstrap([[1.0] * 9, [1, 1]]) == (1, 1, 1)  # a model that is always right
    assert grouped_bootstrap([[0.5] * 9, [0.5]]) == (0.5, 0.5, 0.5)  # a constant model


def test_the_interval_of_one_group_is_over_its_items():
    outcomes = np.array([1.0] * 140 + [0.5] * 20 + [0.0] * 40)
    low, high = grouped_bootstrap([outcomes], level=0.6827, resamples=20_000)[1:]
    assert (high - low) / 2 == pytest.approx(outcomes.std() / math.sqrt(200), rel=0.1)  # steps of 0.0025


def test_intervals_over_groups_hold_the_true_mean():
    draws = np.random.default_rng(1)
    held = []
    for _ in range(200):
        rates = draws.beta(8, 2, 25)  # of paradigms, whose mean is 0.8
        outcomes = [draws.random(40) < rate for rate in rates]
        _, low, high = grouped_bootstrap(outcomes, resamples=200)
        held.append(low < 0.8 < high)
    assert 0.90 < np.mean(held) < 0.995


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare({1: 0.5}, {1: 0.4}), "there is one seed, which says nothing"),
        (lambda: compare({}, {}), "there are no values"),
        (lambda: compare({1: 0.5, 2: 0.6}, {1: 0.5, 3: 0.6}), r"the seeds \[1, 2\] and the other \[1, 3\]"),
        (lambda: compare({1: 0.5, 2: math.nan}, {1: 0.5, 2: 0.6}), "1 of 2 values are not finite"),
        (lambda: compare({1: 0.3, 2: 0.4}, {1: 0.2, 2: 0.3}), "all 2 differences are 0.1, .* follow the seed"),
        (lambda: equivalence_test([0.1, 0.2], 0.0), "margin is 0.0; it has to be above 0"),
        (lambda: equivalence_test([0.1, 0.1], 1.0), "all 2 differences are 0.1"),
        (lambda: t_interval([1, 2], level=95), "level is 95; it has to be between 0 and 1"),
        (lambda: t_interval([[1, 2]]), r"the shape \(1, 2\)"),
        (lambda: holm([0.1, 1.2]), "between 0 and 1, not 0.1 to 1.2"),
        (lambda: holm([0.1, math.nan]), "1 of 2 p-values are not finite"),
        (lambda: power(1, 0, 3), "deviation is 0"),
        (lambda: power(1, 1, 1), "n is 1"),
        (lambda: smallest_difference(1, 3, chance=0.01), "chance is 0.01; it has to be between 0.05 and 1"),
        (lambda: hierarchical_bootstrap([[1, 0]]), "own has one seed"),
        (lambda: hierarchical_bootstrap([1, 0]), r"own has the shape \(2,\); seeds by items"),
        (lambda: hierarchical_bootstrap([[1, 0]] * 2, [[1, 0]] * 3), "paired arms have the same seeds"),
        (lambda: hierarchical_bootstrap([[1, 0]] * 2, [[1, 0, 1]] * 2, paired=False), "tested on the same items$"),
        (lambda: hierarchical_bootstrap([[1, math.nan]] * 2), "2 of 4 scores of own are not finite"),
        (lambda: grouped_bootstrap([]), "there are no groups"),
        (lambda: grouped_bootstrap([[1], []]), "there are no outcomes in group 1"),
        (lambda: grouped_bootstrap([[1, math.inf]]), "1 of 2 outcomes in group 0 are not finite"),
        (lambda: grouped_bootstrap([[1, 0]], resamples=10), "resamples is 10"),
    ],
)
def test_what_cannot_be_computed_is_refused_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_example_in_the_documents(capsys):
    [code] = re.findall(r"```python\n(.*?statistics.*?)```", (ROOT / "docs" / "reports.md").read_text(), re.DOTALL)
    exec(code, {})
    difference, seeds = capsys.readouterr().out.splitlines()
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", difference)]
    stated = [float(number) for number in re.findall(r"-?\d+\.\d+", code.split("# Estimate")[1])[:3]]
    assert numbers == pytest.approx(stated, abs=0.005)
    assert f"# {seeds}\n" in code
