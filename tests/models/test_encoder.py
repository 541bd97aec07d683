"""The `Encoder` protocol: every encoder of this package satisfies it, and a user's own encoder is completed."""

import copy
import inspect

import pytest
import torch
import transformers
from torch import nn

from maskwright.models import (
    CNN,
    HMM,
    LSTM,
    MLP,
    Encoder,
    MaskedLMHead,
    NGram,
    Pretrained,
    Transformer,
    complete,
    masked_lm_head,
)
from maskwright.settings.component import Component
from maskwright.settings.declared import brings_tokenizer, check_model
from maskwright.tasks import FineTuning

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
ADDITIONS = {"convolution": 2, "query_key_norm": True, "value_residual": True}


def component(kind: type, **settings) -> Component:
    return Component(f"{kind.__module__}.{kind.__name__}", settings)


def bert(folder):
    config = transformers.BertConfig(vocab_size=50, max_position_embeddings=32, pad_token_id=0, **SIZES)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    return Pretrained(50, str(folder))


ENCODERS = {
    "transformer": lambda folder: Transformer(50, 2, 16, 2, 24, **ADDITIONS),
    "lstm": lambda folder: LSTM(50, 2, 16),
    "cnn": lambda folder: CNN(50, 2, 16),
    "mlp": lambda folder: MLP(50, 2, 16),
    "hub": bert,
}
MEMBERS = [name for name in {*Encoder.__annotations__, *vars(Encoder)} if not name.startswith("_")]


COUNTS = {"hmm": lambda folder: HMM(50, 3), "ngram": lambda folder: NGram(50)}


@pytest.fixture(params=ENCODERS, ids=str)
def encoder(request, tmp_path):
    torch.manual_seed(0)
    return ENCODERS[request.param](tmp_path).eval()


@pytest.fixture(params=ENCODERS | COUNTS, ids=str)
def any_encoder(request, tmp_path):
    torch.manual_seed(0)
    return (ENCODERS | COUNTS)[request.param](tmp_path).eval()


class Own(nn.Module):
    """A user's own encoder with the required members only."""

    def __init__(self, vocabulary_size: int, hidden_size: int = 8):
        super().__init__()
        self.hidden_size = hidden_size
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.blocks = nn.ModuleList(nn.Linear(hidden_size, hidden_size) for _ in range(3))
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, input_ids, attention, positions):
        hidden = self.embedding(input_ids)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.norm(hidden if positions is None else hidden[torch.arange(len(hidden))[:, None], positions])


def test_every_encoder_has_the_members_of_the_protocol(any_encoder):
    encoder = any_encoder
    assert "parameter_depths" in MEMBERS
    assert [name for name in MEMBERS if not hasattr(encoder, name)] == []
    assert complete(encoder) is encoder
    for name in ("embed", "encode", "forward"):
        method = getattr(Encoder, "__call__" if name == "forward" else name)
        declared = [*inspect.signature(method).parameters][1:]
        found = [*inspect.signature(getattr(encoder, name)).parameters]
        # the steps of an encoder with types of tokens take these too
        assert found in (declared, [*declared, "token_types"])


def test_forward_equals_embed_followed_by_encode(any_encoder):
    encoder = any_encoder
    ids, positions = torch.randint(1, 50, (3, 9)), torch.tensor([[0, 3], [2, 1], [5, 0]])
    seen = torch.arange(9) < torch.tensor([9, 4, 6])[:, None]
    for mask in (None, seen):
        hidden = encoder.encode(encoder.embed(ids, mask), mask, positions)
        torch.testing.assert_close(hidden, encoder(ids, mask, positions), rtol=0, atol=0)


def test_every_parameter_has_a_depth_that_rises_with_the_layers(encoder):
    depths, layers = encoder.parameter_depths(), encoder.layers_in_order()
    assert depths.keys() == {name for name, _ in encoder.named_parameters()}
    assert len(layers) == 2
    assert set(depths.values()) == {0, 1, 2}
    by_parameter = {id(parameter): depths[name] for name, parameter in encoder.named_parameters()}
    assert by_parameter[id(encoder.embedding.weight)] == 0
    for depth, layer in enumerate(layers, 1):
        assert {by_parameter[id(parameter)] for parameter in layer.parameters()} == {depth}


@pytest.mark.parametrize(
    ("name", "outside"),
    [
        ("transformer", {"embedding": 0, "embedding_norm": 0, "convolution": 0, "final_norm": 2}),
        ("lstm", {"embedding": 0, "embedding_norm": 0}),
        ("cnn", {"embedding": 0, "embedding_norm": 0, "final_norm": 2}),
        ("mlp", {"embedding": 0, "embedding_norm": 0, "final_norm": 2}),
    ],
)
def test_depths_of_parameters_outside_the_layers(name, outside, tmp_path):
    depths = ENCODERS[name](tmp_path).parameter_depths()
    assert {
        name.split(".")[0]: depth for name, depth in depths.items() if name.split(".")[0] != "layers"
    } == outside
    assert all(depth == int(name.split(".")[1]) + 1 for name, depth in depths.items() if name.startswith("layers."))


def test_declared_members_of_encoders(tmp_path):
    made = {name: make(tmp_path) for name, make in ENCODERS.items()}
    assert {name for name, encoder in made.items() if encoder.keeps_documents_apart} == {"transformer"}
    assert {name: encoder.head_size for name, encoder in made.items() if encoder.head_size} == {"transformer": 8}
    assert {name: encoder.max_length for name, encoder in made.items() if encoder.max_length} == {"hub": 32}
    assert {name for name, encoder in made.items() if encoder.brings_tokenizer} == {"hub"}
    assert {name for name, encoder in made.items() if encoder.own_head() is not None} == {"hub"}


def test_models_of_counts_declare_what_they_are(tmp_path):
    made = {name: make(tmp_path) for name, make in COUNTS.items()}
    for encoder in made.values():
        assert encoder.learns_from_counts
        assert encoder.layers_in_order() == []
        assert set(encoder.parameter_depths().values()) == {0}
        assert masked_lm_head(encoder)(encoder(torch.ones(2, 5, dtype=torch.long))).shape == (2, 5, 50)
    assert {name for name, encoder in made.items() if encoder.keeps_documents_apart} == {"hmm"}
    assert {name for name, e in made.items() if e.own_loss(torch.ones(2, 5, dtype=torch.long)) is not None} == {
        "hmm"
    }


@pytest.mark.parametrize("name", ["lstm", "cnn", "mlp", "hub"])
def test_encoders_that_cannot_keep_documents_apart_refuse_such_masks(name, tmp_path):
    encoder = ENCODERS[name](tmp_path)
    with pytest.raises(ValueError, match="cannot keep the documents in a row apart"):
        encoder(torch.ones(1, 4, dtype=torch.long), torch.ones(1, 4, 4, dtype=torch.bool))


def test_only_an_encoder_of_the_hub_saves_its_architecture(encoder, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    encoder.save_architecture(run)
    assert [path.name for path in run.iterdir()] == (["encoder"] if isinstance(encoder, Pretrained) else [])


def test_a_users_own_encoder_is_completed(tmp_path):
    module = Own(50)
    names = set(module.state_dict())
    encoder = complete(module)
    assert encoder is module
    assert [name for name in MEMBERS if not hasattr(encoder, name)] == []
    assert (encoder.max_length, encoder.keeps_documents_apart, encoder.head_size) == (None, True, None)
    assert encoder.layers_in_order() == list(module.blocks)
    assert encoder.parameter_depths()["blocks.1.weight"] == 2
    assert encoder.parameter_depths()["norm.bias"] == 3
    assert not brings_tokenizer(component(Own))
    assert type(masked_lm_head(encoder)) is MaskedLMHead
    encoder.save_architecture(tmp_path)
    assert set(module.state_dict()) == names
    with pytest.raises(NotImplementedError, match="Own computes embeddings and hidden states in one"):
        encoder.embed(torch.ones(1, 2, dtype=torch.long))
    FineTuning(freeze=2).apply(encoder, 1.0)
    learns = {name.split(".")[0] + name.split(".")[1] for name, p in module.named_parameters() if p.requires_grad}
    assert learns == {"blocks2", "normweight", "normbias"}
    again = copy.deepcopy(encoder)
    assert again.layers_in_order() == list(again.blocks)


def test_declarations_under_former_names_are_used():
    class Former(Own):
        separates_documents = False
        longest = 7

    encoder = complete(Former(50))
    assert (encoder.max_length, encoder.keeps_documents_apart) == (7, False)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (
            Transformer,
            {"heads": 3, "hidden_size": 16},
            "heads=3 do not divide hidden_size=16 into heads of an even",
        ),
        (Transformer, {"heads": 16, "hidden_size": 16, "layers": 2}, "into heads of an even size"),
        (LSTM, {"layers": 1, "hidden_size": 15}, "hidden_size is 15; an LSTM of two directions takes an even one"),
        (CNN, {"layers": 1, "hidden_size": 16, "kernel_size": 4}, "kernel_size is 4; it is odd"),
    ],
)
def test_invalid_settings_are_refused_with_and_without_building(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind.check_settings(**settings)
    with pytest.raises(ValueError, match=message):
        kind(
            **(
                {"vocabulary_size": 50, "layers": 1}
                | ({"intermediate_size": 8} if kind is Transformer else {})
                | settings
            )
        )


def test_valid_and_omitted_settings_are_accepted():
    for kind in (Transformer, LSTM, CNN, MLP, Own):  # that of a model of the hub opens its config.json
        check_model(component(kind, hidden_size=16, dropout=0.1, name="x"))
