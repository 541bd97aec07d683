"""Optimizers over all parameters of a module, with weight decay on matrices only.

Each function takes the module and answers a torch optimizer. Vectors (norms, biases) are never
decayed: shrinking them regularises nothing and moves the model's scale.
"""

from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer


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
