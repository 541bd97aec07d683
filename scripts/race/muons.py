"""Changes to Muon that may help, for `recipe.py`; its polynomials are in `src/maskwright/optim/muon.py`."""

import importlib
from typing import Any

import torch
from lightning import Callback
from torch import Tensor

# `maskwright.optim.muon` is a function, which has the name of its module
_module: Any = importlib.import_module("maskwright.optim.muon")
_polynomials = _module.orthogonalize


def triangles(matrices: Tensor, ns_steps: int) -> Tensor:
    """Matrices (N, R, C) whose rows are made orthogonal one after the other, each to those before it, roughly.

    After MUD (arXiv 2603.17970), as we read it: rows of length 1 are multiplied by the inverse of the lower
    triangle of their products, and scaled to length 1 again.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = torch.nn.functional.normalize((matrices.mT if tall else matrices).float(), dim=-1)
    x = torch.linalg.solve_triangular((x @ x.mT).tril(), x, upper=False)
    x = torch.nn.functional.normalize(x, dim=-1).to(matrices.dtype)
    return x.mT if tall else x


class EqualRows:
    """NorMuon (Li et al., 2025, arXiv 2510.05491): rows are divided by a running mean of their size."""

    def __init__(self, beta: float = 0.95):
        self.beta = beta
        self.means: dict[torch.Size, Tensor] = {}

    def __call__(self, matrices: Tensor, ns_steps: int) -> Tensor:
        orthogonal = _polynomials(matrices, ns_steps).float()
        square = orthogonal.square().mean(-1, keepdim=True)
        mean = self.means.setdefault(matrices.shape, torch.zeros_like(square)).lerp_(square, 1 - self.beta)
        found = orthogonal / (mean.sqrt() + 1e-8)
        norms = [x.norm(dim=(1, 2), keepdim=True) for x in (orthogonal, found)]
        return (found * (norms[0] / norms[1])).to(matrices.dtype)


class EverySecond:
    """Orthogonalises every second time, and takes the step before once more in between."""

    def __init__(self) -> None:
        self.kept: dict[torch.Size, Tensor] = {}

    def __call__(self, matrices: Tensor, ns_steps: int) -> Tensor:
        kept = self.kept.pop(matrices.shape, None)
        if kept is None:
            kept = self.kept[matrices.shape] = _polynomials(matrices, ns_steps)
        return kept


class MuonPatch(Callback):
    """A change of the optimizer.

    Args:
        what: `triangles`, `equal_rows` or `every_second`, see above; or `slow_embedding`: the embedding, which the
            head shares, is stepped every second time, by the sum of two gradients.
    """

    def __init__(self, what: str):
        self.what = what
        self.gradient: Tensor | None = None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        changed = {"triangles": triangles, "equal_rows": EqualRows(), "every_second": EverySecond()}
        _module.orthogonalize = changed.get(self.what, _polynomials)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        if self.what != "slow_embedding":
            return
        weight = pl_module.encoder.embedding.weight
        if self.gradient is None:
            self.gradient, weight.grad = weight.grad, None
        else:
            weight.grad += self.gradient
            self.gradient = None
