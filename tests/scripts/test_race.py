"""The arithmetic of the race and of the study of its recipe, on artificial curves."""

import sys

import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "race"))
import race
import recipe


def points(*losses, every=10):
    return [{"step": every * i, "loss": loss, "clock": 7.0 * i} for i, loss in enumerate(losses, 1)]


@pytest.mark.parametrize(
    ("loss", "step"),
    [(7.5, 10), (7.0, 10), (6.5, 15), (6.0, 20), (5.5, 45), (4.0, float("inf"))],
)
def test_a_loss_is_reached_between_two_points(loss, step):
    assert race.reached(points(7.0, 6.0, 6.2, 6.0, 5.0), loss) == pytest.approx(step)


@pytest.mark.parametrize(("steps", "number"), [(100, 10), (7, 3), (2, 30)])
def test_a_run_is_evaluated_evenly_and_at_its_end(steps, number):
    marks = race.marks(steps, number)
    assert marks[-1] == steps
    assert len(marks) == min(steps, number)
    assert marks[0] >= 1


def test_the_report_compares_seconds_made_of_steps():
    lanes = [
        {"name": "bert", "rows": 32, "rate": 1e-3, "seconds": 2.0, "parameters": 5, "points": points(7, 6.5, 6.6)},
        {"name": "ours, seed 1", "seconds": 0.5, "parameters": 5, "points": points(7, 6, 5)},
        {"name": "ours, seed 2", "seconds": 0.5, "parameters": 5, "points": points(7, 6.4, 5)},
        {"name": "ours, as long as the peers", "seconds": 0.5, "parameters": 5, "points": points(7, 6, 4)},
    ]
    figures = race.report(lanes)
    beside = figures["beside"]["bert"]
    assert beside["its loss"] == 6.5  # the best, not the last
    assert beside["its seconds"] == 60
    assert beside["our seconds, by seed"] == [7.5, pytest.approx(9.2, abs=0.05)]
    assert beside["times sooner, by seed"] == [8.0, pytest.approx(6.5, abs=0.1)]
    assert beside["our loss in its time"] == 4
    assert beside["its loss in our time"] == 7  # its first step takes longer
    assert figures["contestants"][0]["minutes"] == 1.0
    assert "| bert | 6.5 | 60 |" in race.table({8192: figures})


def test_the_gain_of_a_change_is_measured_at_the_loss_that_both_reach():
    own, better, worse = ({"points": points(*losses)} for losses in ((7, 6, 5), (6, 5, 4), (7, 6.5, 6)))
    assert recipe.gain(own, better, 1.0, 1.0)["time to loss"] == pytest.approx(30 / 20)
    assert recipe.gain(own, worse, 1.0, 1.0)["time to loss"] == pytest.approx(20 / 30, abs=1e-3)
    assert recipe.gain(own, better, 1.0, 3.0)["time to loss"] == pytest.approx(30 / 60)
