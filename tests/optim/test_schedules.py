import math

import pytest

from maskwright.optim import Constant, Cosine, Linear, WarmupStableDecay


@pytest.mark.parametrize("schedule", [Constant(0.1), Linear(0.1), Cosine(0.1), WarmupStableDecay(0.1)])
def test_warm_up_is_linear_and_reaches_one(schedule):
    assert [schedule(p) for p in (0.0, 0.025, 0.05)] == pytest.approx([0, 0.25, 0.5])
    assert schedule(0.1) == pytest.approx(1)


def test_shapes_after_warm_up():
    assert Constant(0.1)(1.0) == 1
    assert Linear(0.2)(0.6) == pytest.approx(0.5)
    assert Cosine()(0.25) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    wsd = WarmupStableDecay(warmup=0.1, cooldown=0.2)
    assert wsd(0.79) == 1
    assert wsd(0.85) == pytest.approx(1 - math.sqrt(0.25))
    assert WarmupStableDecay(cooldown=0.5, shape="linear")(0.75) == pytest.approx(0.5)


@pytest.mark.parametrize("kind", [Linear, Cosine, WarmupStableDecay])
def test_the_final_factor_is_reached_and_kept(kind):
    assert kind(final=0.1)(1.0) == kind(final=0.1)(1.5) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: Linear(warmup=1.0), "^warmup is"),
        (lambda: Constant(warmup=-0.1), "^warmup is"),
        (lambda: Cosine(final=2), "^final is"),
        (lambda: WarmupStableDecay(warmup=0.5, cooldown=0.6), "^cooldown is"),
        (lambda: WarmupStableDecay(shape="square"), "^shape is"),
    ],
)
def test_invalid_shares_are_refused(make, key):
    with pytest.raises(ValueError, match=key):
        make()
