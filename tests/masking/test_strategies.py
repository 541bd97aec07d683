"""Every strategy of conf/mask has every property."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from maskwright.masking import testing
from maskwright.run.assemble import parts_of
from tests.conftest import ROOT

STRATEGIES = sorted(path.stem for path in (ROOT / "conf" / "mask").glob("*.yaml"))


def make_of(strategy: str):
    """What makes the masker that `mask=<strategy>` means."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        node = OmegaConf.to_container(compose("train", [f"mask={strategy}", "run_dir=x"]).mask, resolve=True)

    def make(**changes):
        parts = parts_of(node, "mask", testing.VOCABULARY)
        return testing.make_masker(**parts | changes)

    return make


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("holds", testing.PROPERTIES, ids=lambda holds: holds.__name__)
def test_every_strategy_has_every_property(strategy, holds):
    holds(make_of(strategy))
