"""Which parameters are trained, when, and with which learning rate."""

import pytest
import torch
import transformers
from torch import nn

from maskwright.models import Transformer, complete
from maskwright.models.layers.linear import ReadoutLinear
from maskwright.optim import adamw, muon
from maskwright.tasks.finetuning import FineTuning


@pytest.fixture
def encoder():
    return Transformer(50, 3, 16, 2, 24, convolution=2, value_residual=True)


def learning(encoder: nn.Module) -> set[str]:
    """Returns the modules that are trained: their names, or the numbers of layers."""
    return {
        name.split(".")[1] if name.startswith("layers.") else name.split(".")[0]
        for name, parameter in encoder.named_parameters()
        if parameter.requires_grad
    }


EMBEDDINGS = {"embedding", "embedding_norm", "convolution"}


@pytest.mark.parametrize("kind", ["Deberta", "DebertaV2", "MPNet", "XLM"])
def test_modules_that_all_layers_read_are_below_the_layers(kind):
    sizes = {"XLM": {"emb_dim": 16, "n_layers": 3, "n_heads": 2}}.get(
        kind, {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}
    )
    positions = {"relative_attention": True, "pos_att_type": "p2c|c2p"} if "Deberta" in kind else {}
    config = getattr(transformers, f"{kind}Config")(vocab_size=50, **sizes, **positions)
    model = transformers.AutoModel.from_config(config).train()
    encoder = complete(model)
    FineTuning(freeze=3).apply(encoder, 1.0)
    still = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert not {name for name in still if "pooler" not in name}
    FineTuning(freeze=2).apply(encoder, 1.0)
    learns = {
        name for name, parameter in model.named_parameters() if parameter.requires_grad and "pooler" not in name
    }
    assert learns
    assert all(".2." in name for name in learns)


@pytest.mark.parametrize(
    ("freeze", "expected"),
    [
        (0, EMBEDDINGS | {"0", "1", "2", "final_norm"}),
        ("embeddings", {"0", "1", "2", "final_norm"}),
        (2, {"2", "final_norm"}),
        ("encoder", set()),
    ],
)
def test_frozen_modules_are_not_trained(encoder, freeze, expected):
    FineTuning(freeze=freeze).apply(encoder, 1.0)
    assert learning(encoder) == expected


def test_layers_are_unfrozen_from_the_last_to_the_first(encoder):
    settings = FineTuning(gradual_unfreezing=0.8)
    for progress, expected in [
        (0.0, set()),
        (0.2, {"2", "final_norm"}),
        (0.4, {"1", "2", "final_norm"}),
        (0.61, {"0", "1", "2", "final_norm"}),
        (0.8, EMBEDDINGS | {"0", "1", "2", "final_norm"}),
    ]:
        settings.apply(encoder, progress)
        assert learning(encoder) == expected


def test_learning_returns_the_share_of_trained_layers(encoder):
    assert [FineTuning(freeze=freeze).learning(3, 1.0) for freeze in (0, "embeddings", 2, "encoder")] == [
        1,
        1,
        pytest.approx(1 / 3),
        0,
    ]
    assert FineTuning(gradual_unfreezing=0.8).learning(3, 0.4) == pytest.approx(2 / 3)
    assert [FineTuning(freeze=freeze).learning(0, 1.0) for freeze in (0, "encoder")] == [1, 0]


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_learning_rates_decay_towards_lower_layers_and_the_head_has_its_own(encoder, kind):
    module = nn.ModuleDict({"encoder": encoder, "head": ReadoutLinear(16, 2)})
    common = {"betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}
    if kind == "adamw":
        optimizer = adamw(module, lr=1.0, **common)
    else:
        optimizer = muon(module, lr=1.0, adamw_lr=1.0, momentum=0.9, ns_steps=3, ns_dtype="auto", **common)
    before = {id(p) for group in optimizer.param_groups for p in group["params"]}
    FineTuning(layer_decay=0.5, head_lr=7.0, head_weight_decay=0.3).regroup(optimizer, encoder)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert set(rates) == before
    assert rates[id(encoder.embedding.weight)] == 0.125
    assert rates[id(encoder.layers[0].feed_forward.input.weight)] == 0.25
    assert rates[id(encoder.layers[2].feed_forward.input.weight)] == rates[id(encoder.final_norm.weight)] == 1.0
    assert rates[id(module["head"].weight)] == rates[id(module["head"].bias)] == 7.0
    assert (decays[id(module["head"].weight)], decays[id(module["head"].bias)]) == (0.3, 0.0)
    loss = module["head"](encoder(torch.zeros(1, 3, dtype=torch.long))).sum()
    loss.backward()
    optimizer.step()


@pytest.mark.parametrize(
    "wrong",
    [{"freeze": -1}, {"gradual_unfreezing": 1.5}, {"layer_decay": 0.0}, {"head_lr": 0.0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=rf"^{next(iter(wrong))} is"):
        FineTuning(**wrong)
