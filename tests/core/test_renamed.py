"""Former names of keys and classes."""

import pytest

from maskwright.core.renamed import KEYS, TARGETS, new_key, new_target, with_new_names
from maskwright.settings.build import find_target
from tests.conftest import compose_train


def test_a_key_and_the_keys_below_it_are_renamed():
    assert new_key("hardware.accumulate") == "hardware.accumulate_grad_batches"
    assert new_key("data.parts.imdb.source") == "data.sources.imdb.source"
    assert new_key("data.source") is None


def test_saved_configs_are_read_with_the_new_names():
    old = {
        "hardware": {"accumulate": 2, "devices": 1},
        "data": {"_target_": "maskwright.data.text.TextData", "parts": {"a": {"source": "x"}}},
        "mask": {"units": {"_target_": "maskwright.masking.Collocations", "path": None}},
    }
    new = with_new_names(old)
    assert new["hardware"] == {"accumulate_grad_batches": 2, "devices": 1}
    assert new["data"] == {"_target_": "maskwright.data.packed.TextData", "sources": {"a": {"source": "x"}}}
    assert new["mask"]["units"]["_target_"] == "maskwright.annotations.Collocations"
    assert with_new_names(new) == new
    assert old["hardware"] == {"accumulate": 2, "devices": 1}  # the argument is not changed


@pytest.mark.parametrize("target", TARGETS.values())
def test_new_targets_exist(target):
    assert find_target({"_target_": target}, "x").__name__ == target.rpartition(".")[2]
    assert new_target(target) is None


@pytest.mark.parametrize("key", KEYS.values())
def test_new_keys_exist(key):
    choices = {"task": ["task=classification"], "data": ["data=mixture"]}.get(key.split(".")[0], [])
    config = compose_train(*choices)
    for name in key.split("."):
        assert name in config
        config = config[name]
