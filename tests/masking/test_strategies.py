"""Every strategy of conf/mask satisfies every property."""

import functools

import pytest
from omegaconf import OmegaConf

from maskwright.masking import testing
from maskwright.settings.build import build
from maskwright.settings.mask import MaskSettings
from tests.conftest import ROOT, compose_train

STRATEGIES = sorted(path.stem for path in (ROOT / "conf" / "mask").glob("[!_]*.yaml"))


@functools.cache  # composing takes longer than most properties
def settings_of(strategy: str) -> MaskSettings:
    config = compose_train(f"mask={strategy}", "run_dir=x")
    return MaskSettings.parse(OmegaConf.to_container(config.mask, resolve=True), "mask")


def make_of(strategy: str):
    """Returns a function that makes the masker of `mask=<strategy>`."""
    settings = settings_of(strategy)

    def make(**changes):
        parts = {part: build(node, f"mask.{part}") for part, node in settings.parts.items()}
        return testing.make_masker(**parts | changes)

    return make


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("holds", testing.PROPERTIES, ids=lambda holds: holds.__name__)
def test_every_strategy_satisfies_every_property(strategy, holds):
    holds(make_of(strategy))
