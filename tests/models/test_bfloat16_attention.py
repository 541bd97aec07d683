"""Attention in bfloat16 on a CPU: the same as PyTorch's, with gradients that are as exact."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright.models.layers.bfloat16_attention import Bfloat16Attention

ROWS, HEADS, LENGTH, SIZE = 5, 2, 24, 8
MASKS = {
    "padding": torch.arange(LENGTH).expand(ROWS, 1, 1, -1) < torch.tensor([24, 20, 7, 24, 1]).view(-1, 1, 1, 1),
    "pairs": torch.rand(ROWS, 1, LENGTH, LENGTH, generator=torch.Generator().manual_seed(3)) < 0.5,
    "shared": torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(),
    "blind": torch.arange(LENGTH).expand(ROWS, 1, 1, -1) < torch.tensor([24, 0, 7, 24, 1]).view(-1, 1, 1, 1),
    "added": torch.randn(ROWS, HEADS, LENGTH, LENGTH, generator=torch.Generator().manual_seed(4)),
}


def inputs(dtype: torch.dtype, queries: int = LENGTH) -> list[Tensor]:
    """Queries, keys and values as models make them, (B, T, N, D) transposed."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(ROWS, length, HEADS, SIZE) for length in (queries, LENGTH, LENGTH)]
    made = [torch.randn(shape, generator=generator).to(torch.bfloat16).transpose(1, 2) for shape in shapes]
    return [tensor.to(dtype).detach().requires_grad_() for tensor in made]


def gradients(parts: list[Tensor], ours: bool, **options: object) -> tuple[Tensor, list[Tensor]]:
    attend = F.scaled_dot_product_attention
    if ours:
        with Bfloat16Attention():
            out = F.scaled_dot_product_attention(*parts, **options)
        assert "_Attention" in out.grad_fn.name()
    else:
        out = attend(*parts, **options)
    given = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out.dtype)
    return out.detach(), [found.double() for found in torch.autograd.grad(out, parts, given)]


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.7}, *({"attn_mask": m} for m in MASKS)])
@pytest.mark.parametrize("scores", [1 << 20, 2 * HEADS * LENGTH**2])  # all rows at once, or two
def test_gradients_are_those_of_the_definition(options, scores, monkeypatch):
    monkeypatch.setattr("maskwright.models.layers.bfloat16_attention._SCORES", scores)
    mask = MASKS[options["attn_mask"]] if "attn_mask" in options else None

    def with_mask(dtype: torch.dtype) -> dict[str, object]:
        added = mask is not None and mask.dtype != torch.bool
        return options if mask is None else {"attn_mask": mask.to(dtype) if added else mask}

    half, exact = with_mask(torch.bfloat16), with_mask(torch.float64)
    out, found = gradients(inputs(torch.bfloat16), True, **half)
    same, _ = gradients(inputs(torch.bfloat16), False, **half)
    torch.testing.assert_close(out, same, rtol=0, atol=0)
    _, expected = gradients(inputs(torch.float64), False, **exact)
    for ours, right in zip(found, expected, strict=True):
        assert (ours - right).norm() < 0.02 * right.norm()


def test_queries_at_some_positions_have_gradients_too():
    _, found = gradients(inputs(torch.bfloat16, queries=5), True)
    _, expected = gradients(inputs(torch.float64, queries=5), False)
    for ours, right in zip(found, expected, strict=True):
        assert (ours - right).norm() < 0.02 * right.norm()


def test_autocast_is_enough():
    parts = inputs(torch.float32)
    with torch.autocast("cpu", torch.bfloat16), Bfloat16Attention():
        out = F.scaled_dot_product_attention(*parts)
    assert out.dtype == torch.bfloat16
    assert all(found.dtype == torch.float32 for found in torch.autograd.grad(out.sum(), parts))


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (torch.float32, {}),
        (torch.bfloat16, {"dropout_p": 0.1}),
        (torch.bfloat16, {"attn_mask": torch.zeros(LENGTH, LENGTH, dtype=torch.bfloat16, requires_grad=True)}),
        (torch.bfloat16, {"enable_gqa": True}),
    ],
)
def test_other_calls_stay_as_they_are(dtype, options):
    with Bfloat16Attention():
        out = F.scaled_dot_product_attention(*inputs(dtype), **options)
        assert "_Attention" not in out.grad_fn.name()
        with torch.no_grad():
            assert F.scaled_dot_product_attention(*inputs(dtype), **options).grad_fn is None
