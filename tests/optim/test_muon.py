import sys

import pytest
import torch
from torch import nn

from maskwright.models import MaskedLMHead, Transformer
from maskwright.models.layers.linear import StackedLinear
from maskwright.optim import muon
from maskwright.optim.muon import Muon, orthogonalize

SETTINGS = {"lr": 0.02, "adamw_lr": 0.01, "momentum": 0.95, "betas": [0.9, 0.98], "eps": 1e-6, "weight_decay": 0.1}
SETTINGS |= {"ns_dtype": "float32"}


def polar(matrix):
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    return left @ right


@pytest.mark.parametrize("shape", [(16, 16), (40, 16), (16, 40)])
@pytest.mark.parametrize(("ns_steps", "least"), [(2, 0.1), (3, 0.3), (5, 0.8)])
def test_singular_values_approach_one_and_singular_vectors_are_kept(shape, ns_steps, least):
    torch.manual_seed(0)
    # singular values over a factor of ten
    left, _ = torch.linalg.qr(torch.randn(3, shape[0], min(shape)))
    right, _ = torch.linalg.qr(torch.randn(3, shape[1], min(shape)))
    values = torch.logspace(0, -1, min(shape))
    matrices = 7.0 * left * values @ right.mT
    found = torch.linalg.svdvals(orthogonalize(matrices, ns_steps))
    assert least < found.min()
    assert found.max() < 1.2
    aligned = left.mT @ orthogonalize(matrices, ns_steps) @ right
    assert (aligned - torch.diag_embed(aligned.diagonal(dim1=1, dim2=2))).abs().max() < 1e-3


@pytest.mark.parametrize("ns_steps", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("rank", [1, 8, 64])
def test_half_precision_does_not_enlarge_steps(ns_steps, rank):
    torch.manual_seed(0)
    matrices = torch.randn(2, 64, rank) @ torch.randn(2, rank, 160) / torch.arange(1, 161)
    found = orthogonalize(matrices.bfloat16(), ns_steps).float()
    assert torch.linalg.svdvals(found).max() < 1.3


@pytest.mark.parametrize("native", [True, False])
def test_products_are_in_bfloat16_where_the_cpu_has_it(monkeypatch, native):
    monkeypatch.setattr(sys.modules[Muon.__module__], "has_bfloat16", lambda _: native)
    gradient = torch.randn(16, 64)

    def step(ns_dtype):
        layer = nn.Linear(64, 16, bias=False)
        nn.init.zeros_(layer.weight)
        layer.weight.grad = gradient.clone()
        muon(layer, ns_steps=5, **(SETTINGS | {"ns_dtype": ns_dtype})).step()
        return layer.weight.detach()

    exact, half, chosen = map(step, ("float32", "bfloat16", "auto"))
    assert not torch.equal(exact, half)
    assert nn.functional.cosine_similarity(exact.flatten(), half.flatten(), dim=0) > 0.97
    assert torch.equal(chosen, half if native else exact)


@pytest.mark.parametrize(("initial_embeddings", "expected"), [("cooccurrence", 2e-3), ("random", 2e-2)])
def test_the_rate_of_the_rest_depends_on_how_embeddings_begin(initial_embeddings, expected):
    shape = {"layers": 1, "hidden_size": 8, "heads": 2, "intermediate_size": 8}
    encoder = Transformer(9, **shape, initial_embeddings=initial_embeddings)
    optimizer = muon(nn.ModuleDict({"encoder": encoder}), ns_steps=3, **(SETTINGS | {"adamw_lr": None}))
    assert {group["lr"] for group in optimizer.param_groups if not group["stacked"]} == {expected}


def test_a_shared_matrix_is_updated_once():
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    optimizer = muon(nn.Sequential(first, second), ns_steps=3, **SETTINGS)
    assert sum(parameter is first.weight for group in optimizer.param_groups for parameter in group["params"]) == 1


def test_agrees_with_the_muon_of_torch_where_both_orthogonalise_well():
    torch.manual_seed(0)
    ours, theirs = nn.Linear(24, 24, bias=False), nn.Linear(24, 24, bias=False)
    theirs.load_state_dict(ours.state_dict())
    mine = muon(ours, ns_steps=5, **SETTINGS)
    other = torch.optim.Muon(
        theirs.parameters(), lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw", ns_steps=30
    )
    start = ours.weight.detach().clone()
    for _ in range(3):
        gradient = polar(torch.randn(24, 24)) + 0.05 * torch.randn(24, 24)
        for module, optimizer in ((ours, mine), (theirs, other)):
            module.weight.grad = gradient.clone()
            optimizer.step()
    moved, expected = ours.weight - start, theirs.weight - start
    # both stop at matrices whose singular values lie around 1
    assert torch.nn.functional.cosine_similarity(moved.flatten(), expected.flatten(), dim=0) > 0.98
    assert 0.8 < moved.norm() / expected.norm() < 1.25


def test_a_step_is_an_orthogonal_matrix_of_the_size_of_an_adamw_step():
    module = nn.Linear(64, 16, bias=False)
    optimizer = muon(module, ns_steps=5, **(SETTINGS | {"weight_decay": 0.0}))
    before = module.weight.detach().clone()
    module.weight.grad = torch.randn(16, 64)
    optimizer.step()
    step = (before - module.weight.detach()) / 0.02
    assert torch.allclose(step / (0.2 * 64**0.5), polar(module.weight.grad), atol=0.05)
    assert 0.05 < step.square().mean().sqrt() < 0.3


def test_stacked_matrices_are_orthogonalised_separately():
    layer = StackedLinear(8, 8, stacked=3)
    optimizer = muon(layer, ns_steps=5, **(SETTINGS | {"weight_decay": 0.0}))
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.randn(24, 8) * torch.tensor([1.0, 100.0, 0.01]).repeat_interleave(8)[:, None]
    optimizer.step()
    steps = ((before - layer.weight.detach()) / (0.02 * 0.2 * 8**0.5)).unflatten(0, (3, 8))
    for step, gradient in zip(steps, layer.weight.grad.unflatten(0, (3, 8)), strict=True):
        assert torch.allclose(step, polar(gradient), atol=0.1)


def test_embeddings_decoder_norms_and_biases_are_updated_by_adamw():
    encoder = Transformer(50, layers=2, hidden_size=16, heads=2, intermediate_size=32, convolution=1)
    model = nn.ModuleDict({"encoder": encoder, "head": MaskedLMHead(encoder.embedding)})
    optimizer = muon(model, ns_steps=3, **SETTINGS)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    orthogonal = {names[id(p)] for group in optimizer.param_groups if group["stacked"] for p in group["params"]}
    rest = {names[id(p)] for group in optimizer.param_groups if not group["stacked"] for p in group["params"]}
    assert orthogonal | rest == set(names.values())
    assert not orthogonal & rest
    assert orthogonal == {name for name in names.values() if ".layers." in name and "norm" not in name} | {
        "head.dense.weight"
    }
    rates = {group["lr"] for group in optimizer.param_groups if group["stacked"]}
    assert rates == {0.02}
    assert {group["lr"] for group in optimizer.param_groups if not group["stacked"]} == {0.01}


def test_the_state_survives_a_checkpoint():
    def trained(steps, state=None):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 8), nn.LayerNorm(8))
        optimizer = muon(model, ns_steps=3, **SETTINGS)
        if state is not None:
            model.load_state_dict(state[0])
            optimizer.load_state_dict(state[1])
        for step in steps:
            torch.manual_seed(step)
            optimizer.zero_grad()
            model(torch.randint(9, (20,))).square().mean().backward()
            optimizer.step()
        return model.state_dict(), optimizer.state_dict()

    whole, _ = trained(range(6))
    halves, _ = trained(range(3, 6), trained(range(3)))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


def test_a_state_with_the_former_name_of_the_steps_is_loaded():
    def fresh():
        layer = nn.Linear(8, 8)
        optimizer = muon(layer, ns_steps=3, **SETTINGS)
        layer(torch.ones(2, 8)).square().sum().backward()
        return optimizer

    optimizer, again = fresh(), fresh()
    optimizer.step()
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        if group["stacked"]:
            group["iterations"] = group.pop("ns_steps")
    again.load_state_dict(state)
    assert "iterations" not in {name for group in again.param_groups for name in group}
    assert [group["ns_steps"] for group in again.param_groups if group["stacked"]] == [3]
    again.step()


def test_a_closure_is_called_once_and_its_loss_returned():
    layer = nn.Linear(4, 4)
    optimizer = muon(layer, ns_steps=3, **SETTINGS)
    calls = []

    def closure():
        calls.append(1)
        optimizer.zero_grad()
        loss = layer(torch.ones(2, 4)).square().sum()
        loss.backward()
        return loss

    before = layer.weight.detach().clone()
    loss = optimizer.step(closure)
    assert calls == [1]
    assert loss.item() > 0
    assert not torch.equal(before, layer.weight)


def test_steps_out_of_range_are_refused():
    with pytest.raises(ValueError, match="ns_steps is 6; it lies between 1 and 5"):
        muon(nn.Linear(4, 4), ns_steps=6, **SETTINGS)
