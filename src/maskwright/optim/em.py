"""Expectation maximization as an optimizer.

The gradient of a log-likelihood with respect to a log-probability is how often that probability is expected to be
used, given the data: the E-step. The M-step divides these counts by their sum.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.optim import Optimizer

from maskwright.core.roles import roles_of
from maskwright.core.types import Rate


class EM(Optimizer):
    """Stepwise expectation maximization (Cappé and Moulines, 2009; Liang and Klein, 2009).

    A step moves the running mean of the counts towards those of its batch, by lr (t + 1)^-power of their difference
    after t steps, and makes the probabilities proportional to that mean. The first step takes the counts of its
    batch as they are. With lr=1 and power=0, each step is an iteration of EM on its batch.

    Args:
        groups: tables of log-probabilities, with the dimension along which they sum to 1 as `outcomes`.
        lr: above 0, at most 1.
        power: from 0, by which the rate stays as it is, to 1, by which the mean is that of all steps if lr is 1.
        smoothing: at least 0. Each distribution is given this times the mean counts of its table, and that mean
            this times its own mean over all outcomes.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, power: float, smoothing: float):
        super().__init__(groups, {"lr": lr, "power": power, "smoothing": smoothing})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Updates all tables that have a gradient: minus the mean of expected counts.

        Lightning computes them in `closure`.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._update(table, group)
        return loss

    def _update(self, table: Tensor, group: dict[str, Any]) -> None:
        found, state = (-table.grad).clamp_min(0), self.state[table]  # type: ignore[operator]
        if not state:
            # tensors, as other optimizers have: a checkpoint of any of them is loaded in the same way
            state["step"], state["counts"] = torch.tensor(0.0), found.clone()
        else:
            rate = group["lr"] * (float(state["step"]) + 1) ** -group["power"]
            state["counts"].lerp_(found, rate)
        state["step"] += 1
        outcomes = group["outcomes"] % table.ndim
        counts = smoothed(state["counts"], outcomes, group["smoothing"])
        total = counts.sum(outcomes, keepdim=True)
        tiny = torch.finfo(counts.dtype).tiny
        new = (counts / total.clamp_min(tiny)).clamp_min(tiny).log()
        table.copy_(torch.where(total > 0, new, table))  # what was never used stays as it is


def smoothed(counts: Tensor, outcomes: int, smoothing: float) -> Tensor:
    """Returns counts with what each distribution is given, see `EM`.

    Args:
        counts: (D, V) of D distributions over V outcomes, or (V, D).
        outcomes: the dimension of V.
    """
    average = counts.mean(1 - outcomes, keepdim=True)
    average = average + smoothing * average.mean(outcomes, keepdim=True)
    return counts + smoothing * average


def em(
    module: nn.Module,
    lr: Annotated[float, Gt(0), Le(1)],
    power: Annotated[float, Ge(0), Le(1)],
    smoothing: Rate,
) -> Optimizer:
    """Stepwise EM of all tables of probabilities in a module, see `EM`; other parameters stay as they are."""
    groups: dict[int, dict[str, Any]] = {}
    for weight, role in roles_of(module).items():
        if role.kind == "distribution" and weight.requires_grad:
            groups.setdefault(role.outcomes, {"params": [], "outcomes": role.outcomes})["params"].append(weight)
    return EM(groups.values(), lr, power, smoothing)
