"""The changes that the study of the recipe compares: each trains, and changes the loss or leaves it as it is."""

import importlib
import sys

import pytest

from maskwright.models.layers import cross_entropy
from maskwright.models.transformer import layers
from maskwright.tasks import task
from tests.conftest import ROOT
from tests.integration.test_train import KEEP, losses

sys.path.insert(0, str(ROOT / "scripts" / "race"))
import recipe

# those of settings alone are trained by the tests of these settings
CHANGES = {
    name: overrides
    for name, overrides in (recipe.CHANGES | recipe.SAME_TIME).items()
    if any("variants." in override or "muons." in override or "task=" in override for override in overrides)
}
SAME_LOSS = {name: row["overrides"] for name, row in recipe.SAME_LOSS.items() if "patch" in str(row)}


_PLAIN: list[float] = []  # the losses of the recipe itself, by a process


@pytest.fixture
def trained(run, monkeypatch):
    """A function that trains the recipe with changes, and returns the losses of steps and the trained task."""
    module = importlib.import_module("maskwright.optim.muon")
    for place, name in (
        (module, "orthogonalize"),
        (layers, "turned"),
        (task, "attention_gradients"),
        (cross_entropy, "_argmax"),
    ):
        monkeypatch.setattr(place, name, getattr(place, name))  # put back afterwards

    def train(*overrides):
        small = ("model.layers=4", "trainer.max_steps=4", "trainer.val_check_interval=5", "data.evaluation_limit=8")
        result = run(KEEP, "experiment=fast_mini", *small, *overrides)
        return list(losses(result).values()), result.task

    if not _PLAIN:
        _PLAIN.extend(train()[0])
    return train


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_trains_and_changes_the_loss(trained, name):
    found, own = trained(*CHANGES[name])
    if "average" in name:  # is another model, for validation
        assert hasattr(own, "averaged_model")
    else:
        assert found != _PLAIN


@pytest.mark.parametrize("name", SAME_LOSS)
def test_a_way_to_compute_leaves_the_loss_as_it_is(trained, name):
    assert trained(*SAME_LOSS[name])[0] == pytest.approx(_PLAIN, abs=1e-3)
