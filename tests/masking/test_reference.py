"""Maskers and unit functions, beside a slow reference in plain Python, number by number."""

import pytest
import torch

from maskwright.masking import Blocks, Corruption, Ngrams, Spans, testing
from tests.masking import reference
from tests.masking.test_strategies import STRATEGIES, make_of


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ratio", [0.02, 0.15, 0.6])
def test_a_masker_does_what_the_reference_does(strategy, ratio):
    masker = make_of(strategy)(ratio=ratio, seed=5)
    batch = testing.make_batch(40, 60, seed=1, continues=0.5)
    batch["epochs"] += torch.arange(40) % 3
    batch["examples"] += 1000
    masked = masker(batch)
    draws = masker.draws(batch)
    units = masker.units(batch, draws, masker.budget(batch, draws, 0.0))
    weights = masker.weights(batch)
    hidden = testing.chosen(masked, 60)
    for row in range(40):
        own = reference.RowDraws(5, int(batch["epochs"][row]), int(batch["examples"][row]))
        budget = max(int(ratio * int((batch["words"][row] >= 0).sum()) + 0.5), 1)
        margin = getattr(masker.units, "margin", 8)
        expected = reference.choose(
            units[row].tolist(),
            None if weights is None else weights[row].tolist(),
            budget,
            budget + margin + budget // 8 if margin else budget,
            own,
            strategy in ("token", "adaptive"),
        )
        assert set(hidden[row].nonzero()[:, 0].tolist()) == expected
        shown = reference.show(
            batch["input_ids"][row].tolist(),
            expected,
            units[row].tolist(),
            masker.corruption,
            own,
            testing.MASK,
            list(range(testing.SPECIAL, testing.VOCABULARY)),
        )
        assert masked.input_ids[row].tolist() == shown


@pytest.mark.parametrize(
    "units", [Spans(), Spans(0.5, 3), Ngrams(3), Ngrams(4, "uniform"), Ngrams(3, [0, 0.5, 0.5])]
)
def test_runs_are_laid_out_as_the_reference_lays_them(units):
    batch = testing.make_batch(60, 50, seed=2)
    batch["words"][::3, 20:24] = -1  # special tokens between two documents
    draws = testing.make_masker(seed=9).draws(batch)
    found = units(batch, draws, torch.ones(60, 1))
    for row in range(60):
        own = reference.RowDraws(9, 0, row)
        assert found[row].tolist() == reference.runs(batch["words"][row].tolist(), units.shares, own)


def test_blocks_are_rectangles_and_meet_the_budget_exactly():
    """Laid one upon the other in the order of their numbers, as in the text of BEiT."""
    units = Blocks(columns=14, smallest=16)
    batch = testing.batch_of_words(testing.np.tile(testing.np.arange(196), (300, 1)))
    draws = testing.make_masker(seed=3).draws(batch)
    budget = torch.full((300, 1), 78)
    found = units(batch, draws, budget)
    assert ((found >= 0).sum(1) == 78).all()
    singles, blocks, aspects = 0, 0, []
    for row in found.view(300, 14, 14):
        covered = torch.zeros(14, 14, dtype=torch.bool)
        groups = {int(unit): row == unit for unit in row[row >= 0].unique()}
        for mask in groups.values():
            if mask.sum() == 1:
                singles += 1
                continue
            blocks += 1
        # the largest group lies within a rectangle that only other groups have cut into
        largest = max(groups.values(), key=lambda mask: int(mask.sum()))
        lines, columns = largest.any(1).nonzero()[:, 0], largest.any(0).nonzero()[:, 0]
        box = torch.zeros(14, 14, dtype=torch.bool)
        box[lines[0] : lines[-1] + 1, columns[0] : columns[-1] + 1] = True
        assert ((row >= 0) | ~box)[box].all()
        aspects.append(len(lines) / len(columns))
        covered |= largest
    assert singles < 0.1 * 78 * 300
    assert blocks < 8 * 300
    assert min(aspects) >= 0.2
    assert max(aspects) <= 5
    assert min(aspects) < 0.7
    assert max(aspects) > 1.4


def test_corruption_per_unit_uses_the_lot_of_the_unit():
    corruption = Corruption(0.5, 0, 0.5, per="unit")
    batch = testing.make_batch(2, 20)
    masked = testing.make_masker(corruption=corruption, ratio=0.9)(batch)
    assert (masked.input_ids != batch["input_ids"]).any()
