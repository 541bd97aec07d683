"""Every strategy of conf/mask satisfies every property."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from maskwright.masking import testing
from maskwright.settings.build import build
from maskwright.settings.mask import MaskSettings
from tests.conftest import ROOT

STRATEGIES = sorted(path.stem for path in (ROOT / "conf" / "mask").glob("[!_]*.yaml"))


def make_of(strategy: str):
    """Returns a function that makes the masker of `mask=<strategy>`."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [f"mask={strategy}", "run_dir=x"])
    settings = MaskSettings.parse(OmegaConf.to_container(config.mask, resolve=True), "mask")

    def make(**changes):
        parts = {part: build(node, f"mask.{part}") for part, node in settings.parts.items()}
        return testing.make_masker(**parts | changes)

    return make


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("holds", testing.PROPERTIES, ids=lambda holds: holds.__name__)
def test_every_strategy_satisfies_every_property(strategy, holds):
    holds(make_of(strategy))
