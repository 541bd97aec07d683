"""Maskers and units, compared with a slow reference in plain Python, number by number."""

import math

import numpy as np
import pytest
import torch

from maskwright.masking import Blocks, Corruption, Ngrams, Spans, testing
from tests.masking import reference
from tests.masking.test_strategies import STRATEGIES, make_of

BERT = Corruption(0.8, 0.1, 0.1)
BY_FREQUENCY = Corruption(0.4, 0.5, 0.1, per="unit", replacements="frequency")


def compare(make, batch, ratio: float, corruption: Corruption, single: bool) -> None:
    masker = make(ratio=ratio, seed=5, corruption=corruption)
    batch["epochs"] += torch.arange(len(batch["epochs"])) % 3
    batch["examples"] += 1000
    masked = masker(batch)
    draws = masker.draws(batch)
    units = masker.units(batch, draws, masker.budget(batch, draws, 0.0))
    weights = masker.weights(batch)
    hidden = testing.chosen(masked, units.shape[1])
    for row in range(len(units)):
        own = reference.RowDraws(5, int(batch["epochs"][row]), int(batch["examples"][row]))
        budget = max(int(ratio * int((batch["words"][row] >= 0).sum()) + 0.5), 1)
        expected = reference.choose(
            units[row].tolist(),
            None if weights is None else weights[row].tolist(),
            budget,
            masker.margin + budget // 8 if masker.margin else budget,
            own,
            single,
        )
        assert set(hidden[row].nonzero()[:, 0].tolist()) == expected
        shown = reference.show(
            batch["input_ids"][row].tolist(),
            expected,
            list(range(units.shape[1])) if single else units[row].tolist(),
            corruption,
            own,
            testing.MASK,
            list(range(testing.SPECIAL, testing.VOCABULARY)),
            list(range(testing.VOCABULARY)),
        )
        assert masked.input_ids[row].tolist() == shown


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("ratio", "corruption"), [(0.02, BERT), (0.15, BY_FREQUENCY), (0.6, BERT)])
def test_a_masker_equals_the_reference(strategy, ratio, corruption):
    batch = testing.make_batch(40, 60, seed=1, continues=0.5)
    compare(make_of(strategy), batch, ratio, corruption, strategy in ("token", "adaptive"))


@pytest.mark.parametrize("strategy", ["wholeword", "lexicon", "span"])
@pytest.mark.parametrize("continues", [0.9, 0.97])
def test_a_masker_equals_the_reference_where_words_are_too_long(strategy, continues):
    batch = testing.make_batch(60, 100, seed=1, continues=continues)
    compare(make_of(strategy), batch, 0.15, BERT, single=False)


@pytest.mark.parametrize(
    "units",
    [
        Blocks(),
        Blocks(columns=5, smallest=3, aspect=(0.5, 2.0), attempts=4),
        Blocks(columns=20, smallest=1, attempts=2),
    ],
)
@pytest.mark.parametrize("budget", [1, 20, 78])
def test_blocks_equal_those_of_the_reference(units, budget):
    batch = testing.make_batch(60, 198, seed=4)
    batch["words"][::3, 100:] = -1
    found = units(batch, testing.make_masker(seed=2).draws(batch), torch.full((60, 1), budget))
    aspect = tuple(math.exp(x) for x in units.aspect)
    for row in range(60):
        places = (batch["words"][row] >= 0).nonzero()[:, 0].tolist()
        own = reference.RowDraws(2, 0, row)
        expected = reference.blocks(places, units.columns, units.smallest, aspect, units.attempts, budget, own)
        groups: dict[int, set[int]] = {}
        for cell, place in enumerate(places):
            if (unit := int(found[row, place])) >= 0:
                groups.setdefault(unit, set()).add(cell)
        assert sorted(map(sorted, groups.values())) == sorted(map(sorted, expected))


@pytest.mark.parametrize(
    "units", [Spans(), Spans(0.5, 3), Ngrams(3), Ngrams(4, "uniform"), Ngrams(3, [0, 0.5, 0.5])]
)
def test_runs_equal_those_of_the_reference(units):
    batch = testing.make_batch(60, 50, seed=2)
    batch["words"][::3, 20:24] = -1  # special tokens between two documents
    draws = testing.make_masker(seed=9).draws(batch)
    found = units(batch, draws, torch.ones(60, 1))
    for row in range(60):
        own = reference.RowDraws(9, 0, row)
        assert found[row].tolist() == reference.runs(batch["words"][row].tolist(), units.shares, own)


def test_blocks_cover_the_grid_evenly_and_meet_the_budget():
    """14 x 14 cells, 78 of them hidden, as in BEiT; all corners are covered, and few cells are isolated."""
    batch = testing.batch_of_words(np.tile(np.arange(196), (2000, 1)))
    found = Blocks()(batch, testing.make_masker(seed=3).draws(batch), torch.full((2000, 1), 78))
    assert ((found >= 0).sum(1) == 78).all()
    share = (found >= 0).double().mean(0).view(14, 14)
    assert share.min() > 0.02
    assert share.max() < 0.8
    for turned in (share.flip(0), share.flip(1), share.T):  # all sides alike, up to 5 standard deviations
        assert (share - turned).abs().max() < 5 * (2 * 0.25 / 2000) ** 0.5
    units, sizes = (found + 196 * torch.arange(2000)[:, None])[found >= 0].unique(return_counts=True)
    assert (sizes == 1).sum() < 2 * 2000
    assert 2 * 2000 < len(units) < 8 * 2000


def test_corruption_per_unit_uses_the_draw_of_the_unit():
    corruption = Corruption(0.5, 0, 0.5, per="unit")
    batch = testing.make_batch(2, 20)
    masked = testing.make_masker(corruption=corruption, ratio=0.9)(batch)
    assert (masked.input_ids != batch["input_ids"]).any()
