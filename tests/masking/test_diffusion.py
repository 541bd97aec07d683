"""Ratios of masked diffusion, and masks that hide each unit independently."""

import math

import numpy as np
import pytest
import torch

from maskwright.masking import Constant, Diffusion, Nothing, Tokens, Words, testing

U = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
SCHEDULES = ("linear", "cosine", "bimodal")


@pytest.mark.parametrize("low", [0.001, 0.2])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_weights_make_any_schedule_estimate_the_same_integral(schedule, low):
    """The mean of weight(r) f(r) is that of f(r) / r under uniform ratios, here with f(r) = r^2 and r."""
    own = Diffusion(schedule, low=low, modes=[0.3, 0.7])
    ratio = own.at(U)
    assert ratio.min() >= low
    assert ratio.max() <= 1
    weight = own.weight(ratio)
    assert (weight * ratio).mean().item() == pytest.approx(1, rel=1e-4)
    assert (weight * ratio.square()).mean().item() == pytest.approx((1 + low) / 2, rel=1e-4)


def test_weights_are_those_of_the_papers():
    ratio = torch.tensor([0.02, 0.3, 0.999]).double()
    assert Diffusion("linear").weight(ratio).tolist() == pytest.approx([50, 1 / 0.3, 1 / 0.999])
    # MDLM: alpha(t) = 1 - cos(pi / 2 * (1 - t)), and the weight is -alpha'(t) / (1 - alpha(t))
    t = torch.tensor([0.1, 0.5, 0.95]).double().requires_grad_()
    alpha = 1 - (math.pi / 2 * (1 - t)).cos()
    alpha.sum().backward()
    expected = -t.grad / (1 - alpha.detach())
    assert Diffusion("cosine", low=1e-9).weight(1 - alpha.detach()).tolist() == pytest.approx(
        expected.tolist(), rel=1e-6
    )


def test_bimodal_ratios_have_two_modes_and_bounded_weights():
    own = Diffusion("bimodal", modes=[0.2, 0.7], deviation=0.05, uniform=0.2)
    ratio = own.at(U)
    near = [((ratio - mode).abs() < 0.1).double().mean().item() for mode in (0.2, 0.7, 0.45)]
    inside = math.erf(2 / math.sqrt(2))  # within two standard deviations
    assert near == pytest.approx([0.04 + 0.4 * inside, 0.04 + 0.4 * inside, 0.04], abs=2e-3)
    assert (own.weight(ratio) <= 1 / (0.2 * ratio) + 1e-9).all()


def test_each_token_is_masked_independently_with_the_probability_of_its_row():
    """Numbers of masked tokens are binomial: of 4,000 rows the mean within 5 standard errors, the variance in 10 %."""
    masker = testing.make_masker(units=Tokens(), ratio=_Fixed(0.25))
    batch = testing.make_batch(4000, 66, continues=0.0)
    masked = masker(batch)
    maskable = (batch["words"] >= 0).sum(1).double()
    number = masked.valid.sum(1).double()
    error = (number - 0.25 * maskable) / (0.1875 * maskable).sqrt()
    assert abs(error.mean()) < 5 / math.sqrt(4000)
    assert error.var().item() == pytest.approx(1, abs=0.1)
    assert masker.bound(66) == 66
    # neighbours know nothing of each other
    hidden = testing.chosen(masked, 66).numpy()
    both = (hidden[:, 1:] & hidden[:, :-1])[
        (batch["words"][:, 1:] >= 0).numpy() & (batch["words"][:, :-1] >= 0).numpy()
    ]
    assert both.mean() == pytest.approx(0.0625, abs=0.003)


class _Fixed(Constant):
    independent = True


def test_whole_words_and_nothing_are_masked_independently_too():
    batch = testing.make_batch(500, 64, continues=0.4)
    masker = testing.make_masker(units=Words(), ratio=_Fixed(0.3))
    hidden = testing.chosen(masker(batch), 64).numpy()
    words = batch["words"].numpy()
    number = (words + np.arange(len(words))[:, None] * 64)[words >= 0]
    of_word = np.bincount(number, hidden[words >= 0]) / np.maximum(np.bincount(number), 1)
    assert {*np.unique(of_word)} == {0.0, 1.0}
    assert hidden[words >= 0].mean() == pytest.approx(0.3, abs=0.01)
    assert not testing.make_masker(units=Nothing(), ratio=Diffusion())(batch).valid.any()


class _Later:
    """Weights that grow with the position."""

    def __call__(self, batch):
        return torch.arange(batch["words"].shape[1]).expand_as(batch["words"]).double()


@pytest.mark.parametrize("units", [Tokens(), Words()], ids=["tokens", "words"])
def test_weights_change_the_chances_and_not_their_mean(units):
    batch = testing.make_batch(3000, 64, continues=0.2 if isinstance(units, Words) else 0.0)
    hidden = testing.chosen(testing.make_masker(units=units, weights=_Later(), ratio=_Fixed(0.2))(batch), 64)
    maskable = batch["words"] >= 0
    early, late = (hidden[:, part][maskable[:, part]].double().mean() for part in (slice(8, 16), slice(40, 48)))
    assert late / early == pytest.approx(44 / 12, rel=0.15)
    assert hidden[maskable].double().mean().item() == pytest.approx(0.2, abs=0.01)


def test_masks_of_a_row_do_not_depend_on_the_others():
    batch = testing.make_batch(8, 40, continues=0.3)
    masker = testing.make_masker(units=Words(), ratio=Diffusion())
    whole = masker(batch)
    alone = masker({name: value[3:4] for name, value in batch.items()})
    assert torch.equal(whole.input_ids[3:4], alone.input_ids)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "cosin"}, "schedule is 'cosin'; it is one of linear, cosine, bimodal"),
        ({"low": 0.0}, "low=0.0 to high=1.0 is no range of ratios: 0 < low"),
        ({"low": 0.5, "high": 0.4}, "low=0.5 to high=0.4 is no range"),
        ({"schedule": "bimodal", "modes": [0.2]}, r"modes is \[0.2\]; it is two ratios"),
        ({"schedule": "bimodal", "modes": [0.2, 1.5]}, "it is two ratios from 0.001 to 1.0"),
        ({"deviation": 0.0}, "deviation is 0.0; it is more than 0"),
        ({"uniform": 0.0}, "uniform is 0.0; it is more than 0, which bounds the weights"),
    ],
)
def test_what_is_no_schedule_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Diffusion(**settings)
