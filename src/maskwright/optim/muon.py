"""Muon (Jordan et al., 2024): momentum whose matrices are orthogonalised before they are applied."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import AdamW

from maskwright.core.bfloat16 import has_bfloat16
from maskwright.core.sharding import local
from maskwright.optim.shards import by_matrix

# The polynomials a x + b x^3 + c x^5 that drive singular values in [1e-3, 1] towards 1 the fastest, one a
# step (Polar Express, Amsel et al., 2025).
_POLYNOMIALS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)


def orthogonalize(matrices: Tensor, ns_steps: int) -> Tensor:
    """The orthogonal factors, roughly, of the polar decompositions of matrices (N, R, C).

    Args:
        ns_steps: number of polynomials that are applied, from 1 to 5: the last ones, since singular values are
            scaled by a closer bound than the norm of the matrix, the root of the norm of its Gram matrix.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    gram = x @ x.mT
    bound = 1.04 * torch.linalg.matrix_norm(gram, keepdim=True) + 1e-14  # of the largest eigenvalue
    x, gram = x / bound.sqrt(), gram / bound
    polynomials = _POLYNOMIALS[-ns_steps:]
    # Two polynomials of the small Gram matrix meet the large one in one product. With more, errors of half
    # precision would grow to any size in directions that the matrix does not have.
    for first in range(0, ns_steps, 2):
        if first:
            gram = x @ x.mT
        factor = _polynomial(gram, *polynomials[first])
        if first + 1 < ns_steps:
            factor = factor @ _polynomial(factor @ gram @ factor, *polynomials[first + 1])
        x = factor @ x
    return x.mT if tall else x


def _polynomial(gram: Tensor, a: float, b: float, c: float) -> Tensor:
    """a I + b G + c G^2"""
    polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    polynomial.diagonal(dim1=1, dim2=2).add_(a)
    return polynomial


class Muon(AdamW):
    """Muon for parameter groups with `stacked` matrices, and AdamW (fused) for the others.

    A step of Muon adds lr * 0.2 * sqrt(max(R, C)) times an orthogonal matrix to a matrix (R, C), which
    makes its entries as large as those of AdamW's steps (Liu et al., 2025), so both take similar rates.

    Args:
        groups: parameter groups. In a group with `stacked` N each parameter is (N * R, C): N matrices that
            share a product, each orthogonalised by itself. Such a group also has `momentum`, the decay of the
            (Nesterov) mean of the gradients, and `ns_steps`, the number of steps of the orthogonalisation, from 1
            to 5.
        lr, betas, eps: of AdamW.
        ns_dtype: of the products of the orthogonalisation; `auto` is bfloat16 on devices that multiply in it, else
            float32.
    Raises:
        ValueError: `ns_steps` is not between 1 and 5.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        ns_dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    ):
        for group in groups:
            group.setdefault("stacked", 0)
            if group["stacked"] and not 1 <= group["ns_steps"] <= len(_POLYNOMIALS):
                raise ValueError(f"ns_steps is {group['ns_steps']}; it lies between 1 and {len(_POLYNOMIALS)}")
        super().__init__(groups, lr=lr, betas=betas, eps=eps, fused=True)
        self._step_supports_amp_scaling = False  # gradients are to be unscaled before
        self._ns_dtype = ns_dtype

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Also loads states in which `ns_steps` has its former name."""
        super().__setstate__(state)
        for group in self.param_groups:
            if "iterations" in group:
                group["ns_steps"] = group.pop("iterations")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Takes one step in all groups."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["stacked"]]
        try:
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if group["stacked"]:
                self._orthogonal_step(group)
        return loss

    def _orthogonal_step(self, group: dict[str, Any]) -> None:
        parameters = [p for p in group["params"] if p.grad is not None]
        if not parameters:
            return
        updates = []
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.tensor(0.0)  # AdamW looks for it when it loads a state
                state["momentum_buffer"] = torch.zeros_like(parameter)
            gradient = local(parameter.grad)
            mean = local(state["momentum_buffer"]).lerp_(gradient, 1 - group["momentum"])
            updates.append(gradient.lerp(mean, group["momentum"]))
        height, columns = parameters[0].shape
        stacked, ns_steps = group["stacked"], group["ns_steps"]
        half = has_bfloat16(updates[0].device) if self._ns_dtype == "auto" else self._ns_dtype == "bfloat16"
        dtype = torch.bfloat16 if half else torch.float32

        def orthogonal(updates: Tensor) -> Tensor:
            return orthogonalize(updates.unflatten(1, (stacked, -1)).flatten(0, 1), ns_steps).reshape(updates.shape)

        if isinstance(sharded := parameters[0], DTensor):
            shards = [update.to(dtype) for update in updates]
            steps = by_matrix(orthogonal, shards, height, sharded.device_mesh.get_group())
        else:
            steps = list(orthogonal(torch.stack(updates).to(dtype)).unbind())
        weights = [local(parameter) for parameter in parameters]
        size = 0.2 * max(height // stacked, columns) ** 0.5
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, [step.to(weights[0].dtype) for step in steps], alpha=-group["lr"] * size)
