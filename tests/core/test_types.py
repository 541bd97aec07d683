"""Settings outside the bounds in a signature are refused before anything is built."""

import pytest

from maskwright.core.errors import UserError
from maskwright.settings.build import verify

SHAPE = {"layers": 2, "hidden_size": 16, "heads": 2, "intermediate_size": 24}
TRANSFORMER = {"_target_": "maskwright.models.Transformer", **SHAPE}
MUON = {"_target_": "maskwright.optim.muon", "_partial_": True, "lr": 0.1, "adamw_lr": 0.1, "momentum": 0.9}
MUON |= {"ns_steps": 3, "ns_dtype": "auto", "betas": [0.9, 0.98], "eps": 1e-6, "weight_decay": 0.0}


@pytest.mark.parametrize("key", SHAPE)
def test_sizes_of_a_model_are_at_least_1(key):
    verify(TRANSFORMER, "model", ["vocabulary_size"])
    with pytest.raises(UserError, match=rf"model\.{key}=0 is not a whole number of at least 1"):
        verify(TRANSFORMER | {key: 0}, "model", ["vocabulary_size"])


def test_the_reach_of_a_convolution_is_at_least_0():
    verify(TRANSFORMER | {"convolution": 0}, "model", ["vocabulary_size"])
    with pytest.raises(UserError, match=r"model\.convolution=-1 is not a whole number of at least 0"):
        verify(TRANSFORMER | {"convolution": -1}, "model", ["vocabulary_size"])


@pytest.mark.parametrize(("key", "value"), [("lr", 0.0), ("adamw_lr", -1.0), ("ns_steps", 0), ("ns_steps", 6)])
def test_rates_and_steps_have_bounds(key, value):
    verify(MUON, "optimizer")
    with pytest.raises(
        UserError, match=rf"optimizer\.{key}={value}(: Input should be | is not a whole number of at least 1)"
    ):
        verify(MUON | {key: value}, "optimizer")
