"""Optimizers over all parameters of a module, with weight decay on matrices only.

Each function takes the module and returns a torch optimizer. Vectors (norms, biases) are never
decayed: shrinking them regularises nothing, and changes the scale of the model.
"""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from maskwright.core.roles import roles_of
from maskwright.core.types import PositiveRate, Rate, Share
from maskwright.optim.muon import Muon

# the learning rate of Muon's AdamW, where none is given, by what embeddings begin with: counts leave less to learn
ADAMW_LR = {"cooccurrence": 2e-3, "random": 2e-2}


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups of the module's trainable parameters: matrices, decayed, and the rest, not decayed."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]


def adamw(
    module: nn.Module, lr: PositiveRate, betas: tuple[Share, Share], eps: Rate, weight_decay: Rate
) -> Optimizer:
    """AdamW (Loshchilov and Hutter, 2019): decay apart from the gradient, scaled by the learning rate."""
    return AdamW(parameter_groups(module, weight_decay), lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True)


def adam(
    module: nn.Module, lr: PositiveRate, betas: tuple[Share, Share], eps: Rate, weight_decay: Rate
) -> Optimizer:
    """Adam (Kingma and Ba, 2015): decay as an L2 penalty in the gradient."""
    return Adam(parameter_groups(module, weight_decay), lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True)


def sgd(module: nn.Module, lr: PositiveRate, momentum: Share, nesterov: bool, weight_decay: Rate) -> Optimizer:
    """Stochastic gradient descent with momentum."""
    groups = parameter_groups(module, weight_decay)
    # torch refuses Nesterov's momentum of 0, which is none
    return SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov and momentum > 0, fused=True)


def muon(
    module: nn.Module,
    lr: PositiveRate,
    adamw_lr: PositiveRate | None,
    momentum: Share,
    ns_steps: Annotated[int, Ge(1), Le(5)],
    ns_dtype: Literal["auto", "float32", "bfloat16"],
    betas: tuple[Share, Share],
    eps: Rate,
    weight_decay: Rate,
) -> Optimizer:
    """Muon (Jordan et al., 2024) for matrices between hidden states, AdamW for the rest.

    Layers declare which those are, see `core.roles`. The rest are embeddings and the decoder that shares their
    weights, the readouts of labels, vectors, and weights of layers that are not linear. Matrices of one shape are
    orthogonalised together.

    Args:
        lr: of the matrices.
        momentum: of the matrices, see `Muon`.
        ns_steps: of the orthogonalisation, see `orthogonalize`; named as in `torch.optim.Muon`.
        ns_dtype: of its products, see `Muon`.
        adamw_lr: of the rest; None takes that of `ADAMW_LR`.
        betas, eps: of the rest.
    """
    if adamw_lr is None:
        begins = (getattr(part, "initial_embeddings", "random") for part in module.modules())
        adamw_lr = min(ADAMW_LR[kind] for kind in begins)
    matrices: dict[tuple[int, ...], list[Tensor]] = {}
    for weight, role in roles_of(module).items():
        if role.kind == "matrix" and weight.requires_grad:
            matrices.setdefault((role.stacked, *weight.shape), []).append(weight)
    chosen = {id(weight) for weights in matrices.values() for weight in weights}
    settings = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "ns_steps": ns_steps}
    groups: list[dict[str, Any]] = [
        {"params": parameters, "stacked": stacked, **settings} for (stacked, *_), parameters in matrices.items()
    ]
    for group in parameter_groups(module, weight_decay):
        groups.append(group | {"params": [p for p in group["params"] if id(p) not in chosen]})
    return Muon(groups, adamw_lr, (betas[0], betas[1]), eps, ns_dtype)
