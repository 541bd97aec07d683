"""Optimizers over all parameters of a module, with weight decay on matrices only.

Each function takes the module and answers a torch optimizer. Vectors (norms, biases) are never
decayed: shrinking them regularises nothing and moves the model's scale.
"""

from typing import Any

from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from maskwright.optim.muon import Muon


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups of the module's trainable parameters: matrices, decayed, and the rest, not decayed."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]


def adamw(module: nn.Module, lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> Optimizer:
    """AdamW (Loshchilov and Hutter, 2019): decay apart from the gradient, scaled by the learning rate."""
    return AdamW(parameter_groups(module, weight_decay), lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True)


def adam(module: nn.Module, lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> Optimizer:
    """Adam (Kingma and Ba, 2015): decay as an L2 penalty in the gradient."""
    return Adam(parameter_groups(module, weight_decay), lr=lr, betas=(betas[0], betas[1]), eps=eps, fused=True)


def sgd(module: nn.Module, lr: float, momentum: float, nesterov: bool, weight_decay: float) -> Optimizer:
    """Stochastic gradient descent with momentum."""
    groups = parameter_groups(module, weight_decay)
    return SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=True)


def muon(
    module: nn.Module,
    lr: float,
    adamw_lr: float,
    momentum: float,
    iterations: int,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> Optimizer:
    """Muon (Jordan et al., 2024) for the matrices of linear layers inside the module, AdamW for the rest.

    The rest is what stands between tokens and hidden states (embeddings and the decoder that shares their
    weights), what reads classes out of them (`reads_out`), and vectors.
    Matrices of one shape are orthogonalised together.

    Args:
        lr: of the matrices.
        adamw_lr, betas, eps: of the rest.
    """
    embeddings = {id(layer.weight) for layer in module.modules() if isinstance(layer, nn.Embedding)}
    matrices: dict[tuple[int, ...], list[Tensor]] = {}
    chosen: set[int] = set()
    for layer in module.modules():
        if (
            isinstance(layer, nn.Linear)
            and layer.weight.requires_grad
            and not getattr(layer, "reads_out", False)
            and id(layer.weight) not in embeddings | chosen
        ):
            chosen.add(id(layer.weight))
            matrices.setdefault((getattr(layer, "stacked", 1), *layer.weight.shape), []).append(layer.weight)
    settings = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "iterations": iterations}
    groups: list[dict[str, Any]] = [
        {"params": parameters, "stacked": stacked, **settings} for (stacked, *_), parameters in matrices.items()
    ]
    for group in parameter_groups(module, weight_decay):
        groups.append(group | {"params": [p for p in group["params"] if id(p) not in chosen]})
    return Muon(groups, adamw_lr, (betas[0], betas[1]), eps)
