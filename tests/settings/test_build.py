import functools
from typing import Literal

import pytest

from maskwright.core.errors import UserError
from maskwright.settings.build import build, check_type, verify


class Thing:
    def __init__(self, size: int, rate: float = 0.1, kind: Literal["a", "b"] = "a", inner: object = None):
        if size < 0:
            raise ValueError("size is negative")
        self.size, self.rate, self.kind, self.inner = size, rate, kind, inner


HERE = f"{__name__}.Thing"


def test_nested_and_partial_components_are_built():
    thing = build({"_target_": HERE, "size": 3, "inner": {"_target_": HERE, "size": 4}}, "thing", rate=0.5)
    assert (thing.size, thing.rate, thing.inner.size) == (3, 0.5, 4)
    part = build({"_target_": HERE, "_partial_": True, "kind": "b"}, "thing")
    assert isinstance(part, functools.partial)
    assert part(3).kind == "b"


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            {"_target_": HERE, "size": 3, "raet": 1},
            r"thing\.raet is no setting of Thing. Did you mean 'rate'",
        ),
        ({"_target_": HERE}, r"thing\.size is missing"),
        ({"_target_": HERE, "size": "big"}, r"thing\.size='big': Input should be a valid integer"),
        ({"_target_": HERE, "size": 1, "kind": "c"}, r"thing\.kind='c'"),
        ({"_target_": HERE, "size": 1, "inner": {"_target_": HERE}}, r"thing\.inner\.size is missing"),
        ({"_target_": HERE, "size": -1}, r"thing\.size is negative"),
        ({"_target_": "maskwright.nothing"}, r"thing\._target_='maskwright\.nothing' cannot be imported"),
        ({"size": 1}, "thing has no _target_"),
    ],
)
def test_errors_name_the_key(node, message):
    with pytest.raises(UserError, match=message):
        build(node, "thing")


def test_verify_does_not_call_the_target():
    assert verify({"_target_": HERE, "size": -1}, "thing") is Thing
    assert verify({"_target_": HERE}, "thing", ["size"]) is Thing


def test_values_are_checked_against_annotations():
    check_type(1, float, "x")
    check_type(None, int | None, "x")
    check_type([0.9, 0.98], tuple[float, float], "x")
    with pytest.raises(UserError, match=r"x=\[0\.9\]"):
        check_type([0.9], tuple[float, float], "x")
