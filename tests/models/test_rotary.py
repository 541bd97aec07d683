"""Rotary positions and their gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright.models.layers.rotary import rotary_at, rotate, turned

ROWS, LENGTH, HEADS, SIZE = 3, 7, 2, 8


def angles() -> tuple[Tensor, Tensor]:
    angle = torch.rand(LENGTH, 1, SIZE // 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 6
    return angle.cos(), angle.sin()


def heads(dtype: torch.dtype = torch.float64, length: int = LENGTH) -> Tensor:
    """Heads as a projection to queries, keys and values has them: every third of a larger tensor."""
    made = torch.randn(
        ROWS, length, 3, HEADS, SIZE, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    return made.to(dtype).requires_grad_()[:, :, 1]


def test_pairs_turn_by_the_angles_of_their_positions():
    cosine, sine = angles()
    x = heads().detach()
    found = rotate(x, (cosine, sine))
    as_complex = torch.complex(*x.chunk(2, -1)) * torch.complex(cosine, sine)
    torch.testing.assert_close(torch.complex(*found.chunk(2, -1)), as_complex)
    torch.testing.assert_close(turned(x, (cosine, sine), normalise=False), found)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("places", [None, [[0, 3], [6, 6], [2, 1]]])
def test_gradients_are_those_of_the_operations(normalise, places):
    rotary = angles() if places is None else rotary_at(angles(), torch.tensor(places))
    x = heads(length=LENGTH if places is None else 2)
    found = turned(x, rotary, normalise)
    expected = rotate(F.rms_norm(x, x.shape[-1:]) if normalise else x, rotary)
    torch.testing.assert_close(found, expected)
    given = torch.randn(found.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (ours,), (right,) = (torch.autograd.grad(y, x, given) for y in (found, expected))
    torch.testing.assert_close(ours, right)
    with torch.no_grad():
        torch.testing.assert_close(turned(x, rotary, normalise), expected)


def test_half_precision_is_computed_in_float32():
    rotary = tuple(part.float() for part in angles())
    half = heads(torch.bfloat16)
    found = turned(half, rotary, normalise=True)
    exact = turned(half.detach().float(), rotary, normalise=True)
    torch.testing.assert_close(found, exact.to(torch.bfloat16), rtol=0, atol=0)
    assert torch.autograd.grad(found.sum(), half)[0].dtype == torch.bfloat16


def test_heads_of_zeros_have_finite_gradients():
    x = torch.zeros(1, LENGTH, HEADS, SIZE, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(turned(x, angles(), normalise=True).sum(), x)
    assert gradient.isfinite().all()
