import pytest
import torch
from torch import nn

from maskwright.optim import adam, adamw, sgd


@pytest.mark.parametrize(
    ("function", "settings"),
    [
        (adamw, {"betas": [0.9, 0.98], "eps": 1e-6}),
        (adam, {"betas": [0.9, 0.98], "eps": 1e-6}),
        (sgd, {"momentum": 0.9, "nesterov": True}),
    ],
)
def test_only_matrices_are_decayed(function, settings):
    module = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    module[0].weight.requires_grad = False
    optimizer = function(module, lr=0.1, weight_decay=0.5, **settings)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay == {
        id(module[1].weight): 0.5,
        id(module[1].bias): 0.0,
        id(module[2].weight): 0.0,
        id(module[2].bias): 0.0,
    }
    before = module[1].weight.detach().clone()
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert (module[1].weight.norm() < before.norm()).item()
    assert torch.equal(module[2].weight, torch.ones(4))
