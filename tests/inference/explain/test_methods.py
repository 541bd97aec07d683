"""Explanations of predictions whose causes are known."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from maskwright.inference.explain import (
    METHODS,
    RANDOM,
    Prediction,
    Unsuited,
    explain,
    faithfulness,
    integrated_gradients,
    occlusion,
    rolled_out,
    rollout,
)
from maskwright.models import CNN, HMM, LSTM, MLP, NGram, Pretrained, Transformer
from maskwright.models.bigrams import Bigrams, neighbours_of
from maskwright.models.cooccurrence import fill, neighbour_counts

SIZES = {"hidden_size": 32, "layers": 2}
ENCODERS = {
    "transformer": lambda: Transformer(60, heads=2, intermediate_size=48, **SIZES),
    "convolution": lambda: Transformer(60, heads=2, intermediate_size=48, convolution=1, **SIZES),
    "lstm": lambda: LSTM(60, **SIZES),
    "cnn": lambda: CNN(60, **SIZES),
    "mlp": lambda: MLP(60, **SIZES),
}
MASK, WORD = 4, 17


def make(encoder, ids=(2, 20, WORD, 30, 31, 32, 3), units=(-1, 0, 1, 2, 2, 3, -1), read=None, **settings):
    """A prediction of a classifier over the mean of the hidden states, or over those at `read`."""
    torch.manual_seed(1)
    output = nn.Linear(encoder.hidden_size, 2)
    nn.init.normal_(output.weight)

    def compute(rows):
        hidden = encoder(rows)
        pooled = hidden.mean(1) if read is None else hidden[:, read]
        return output(pooled).softmax(-1)[:, 1]

    where = torch.full((len(ids),), 1 / len(ids)) if read is None else torch.eye(len(ids))[read]
    return Prediction(torch.tensor(ids), np.array(units), compute, encoder, MASK, where, **settings)


def encoder_of(name):
    torch.manual_seed(0)
    encoder = ENCODERS[name]().eval()
    nn.init.normal_(encoder.embedding.weight)
    return encoder


@pytest.mark.parametrize("name", ENCODERS)
def test_occlusion_is_the_fall_with_one_unit_hidden(name):
    prediction = make(encoder_of(name), tokens_per_batch=15)  # two rows at a time
    found = occlusion(prediction)
    for unit in range(prediction.count):
        ids = prediction.ids.clone()
        ids[torch.tensor(prediction.units == unit)] = MASK
        with torch.no_grad():
            alone = prediction.compute(prediction.ids[None]) - prediction.compute(ids[None])
        assert found[unit] == pytest.approx(float(alone), abs=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_integrated_gradients_add_up_to_the_difference(name):
    prediction = make(encoder_of(name), tokens_per_batch=100)
    found = integrated_gradients(prediction)
    assert len(found) == prediction.count == 4
    assert found.sum() == pytest.approx(prediction.whole - prediction.empty, abs=0.01 * np.abs(found).sum() + 1e-6)
    assert abs(prediction.whole - prediction.empty) > 1e-3
    assert all(parameter.grad is None for parameter in prediction.encoder.parameters())


def test_what_counts_say_belongs_to_the_neighbours():
    encoder, bigrams = encoder_of("transformer"), Bigrams(60, 1.0, (0, 0))
    text = torch.randint(5, 60, (200, 30), generator=torch.Generator().manual_seed(2))
    text[:, :4] = torch.tensor([30, 20, 31, 31])
    fill(bigrams, neighbour_counts([text], 60))

    def compute(rows):
        said = bigrams(neighbours_of(rows, None)[:, 3])
        return (said + 0 * encoder(rows).mean()).softmax(-1)[:, 20]

    ids, units = (2, 25, 30, MASK, 31, 26, 3), (-1, 0, 1, -1, 2, 3, -1)
    tables = (bigrams.left, 2), (bigrams.right, 4)
    prediction = replace(make(encoder, ids, units), compute=compute, tables=tables)
    found = integrated_gradients(prediction)
    assert found.sum() == pytest.approx(prediction.whole - prediction.empty, rel=0.01)
    assert found[[0, 3]].tolist() == [0, 0]
    assert found[1:3].min() > 0.1 * found.sum() > 0


@pytest.mark.parametrize("name", ["transformer", "convolution"])
def test_weights_of_the_transformer_are_those_it_attends_with(name):
    encoder = encoder_of(name)
    ids = torch.tensor([[2, 20, WORD, 30, 3]])
    weights = encoder.attention_weights(ids)
    assert [own.shape for own in weights] == [(1, 2, 5, 5)] * 2
    attention, layer_input = encoder.layers[0].attention, encoder.embed(ids)
    mixed, value = attention(layer_input, encoder._rotary(5, ids.device), None)
    by_hand = torch.einsum("bnts,bsnd->btnd", weights[0], value).flatten(2)
    torch.testing.assert_close(attention.output(by_hand), mixed)


def test_rollout_is_the_product_of_both_layers():
    prediction = make(encoder_of("transformer"), read=2)
    first, second = (weights[0].mean(0) for weights in prediction.encoder.attention_weights(prediction.ids[None]))
    one = torch.eye(7)
    by_hand = ((second + one) / 2 @ (first + one) / 2)[2].detach().numpy()
    expected = [by_hand[1], by_hand[2], by_hand[3] + by_hand[4], by_hand[5]]
    np.testing.assert_allclose(rollout(prediction), expected, rtol=1e-5)
    shares = rolled_out([torch.rand(2, 5, 5).softmax(-1) for _ in range(3)])
    torch.testing.assert_close(shares.sum(1), torch.ones(5, dtype=torch.float64))


def test_rollout_over_a_model_of_the_hub(hub_model):
    encoder = Pretrained(200, str(hub_model)).eval()
    used = encoder.model.config._attn_implementation
    prediction = make(encoder)
    weights = encoder.attention_weights(prediction.ids[None])
    assert [own.shape for own in weights] == [(1, 2, 7, 7)] * 2
    assert 0 < rollout(prediction).sum() < 1
    assert encoder.model.config._attn_implementation == used
    found = integrated_gradients(prediction)
    assert found.sum() == pytest.approx(prediction.whole - prediction.empty, abs=1e-3)


OF_NETWORKS = {"occlusion", "integrated_gradients"}


@pytest.mark.parametrize(
    ("name", "suited"),
    [
        ("lstm", OF_NETWORKS),
        ("cnn", OF_NETWORKS),
        ("mlp", OF_NETWORKS),
        ("hmm", {"occlusion"}),
        ("ngram", {"occlusion"}),
    ],
)
def test_methods_that_do_not_suit_a_model_are_left_out(name, suited):
    if name in ENCODERS:
        prediction = make(encoder_of(name))
    else:
        encoder = (HMM(60, states=3, mask_id=MASK) if name == "hmm" else NGram(60, mask_id=MASK)).eval()
        head = encoder.own_head().eval()
        positions = torch.tensor([[3]])

        def compute(rows):
            return head(encoder(rows, None, positions.expand(len(rows), 1)))[:, 0, 20].exp()

        prediction = replace(make(encoder), compute=compute)
    found = explain(prediction, [*METHODS])
    assert set(found.values) == suited
    assert set(found.left_out) == METHODS.keys() - suited
    for method in found.left_out:
        with pytest.raises(Unsuited):
            explain(prediction, [method])


class Constructed(Transformer):
    """A transformer for which all tokens are the same, except for one, WORD, which all positions attend to."""

    def __init__(self):
        super().__init__(60, layers=1, hidden_size=8, heads=1, intermediate_size=8)
        nn.init.zeros_(self.layers[0].feed_forward.output.weight)
        self.embedding_norm = nn.Identity()
        self.embedding.weight.data[:] = torch.tensor([0.0, 0, 1, -1, 0, 0, 0, 0])
        self.embedding.weight.data[WORD, :2] = torch.tensor([4.0, -4])
        size = self.hidden_size
        stacked = torch.zeros(3 * size, size)
        stacked[size : 2 * size, 0] = 3.0  # keys of WORD are large,
        stacked[2 * size :] = torch.eye(size)  # and its value is its embedding
        self.layers[0].attention.query_key_value.weight.data = stacked
        self.layers[0].attention.output.weight.data = torch.eye(size)


def test_a_classifier_that_knows_one_word_is_explained_by_it():
    encoder = Constructed().eval()
    ids = torch.tensor([2, 20, 21, WORD, 22, 23, 24, 3])

    def compute(rows):
        return torch.sigmoid(4 * encoder(rows)[:, 0, 0] - 2)

    prediction = Prediction(ids, np.array([-1, 0, 1, 2, 3, 4, 5, -1]), compute, encoder, MASK, torch.eye(8)[0])
    found = explain(prediction, ["occlusion", "integrated_gradients"])
    for values in found.values.values():
        assert values[2] == pytest.approx(prediction.whole - prediction.empty, rel=0.02)
        assert np.abs(np.delete(values, 2)).max() < 1e-6
        assert values[2] > 0.3
    for name in found.values:
        own, control = found.faithfulness[name], found.faithfulness[RANDOM]
        assert own.comprehensiveness == pytest.approx(prediction.whole - prediction.empty, abs=1e-6)
        assert own.sufficiency == pytest.approx(0, abs=1e-6)
        assert own.comprehensiveness > control.comprehensiveness
        assert own.sufficiency < control.sufficiency


def test_rollout_follows_attention_to_the_word_that_all_attend_to():
    encoder = Constructed().eval()
    stacked = encoder.layers[0].attention.query_key_value.weight.data
    stacked[:8, 0] = 3.0  # queries of WORD, the position that is read, find its own key
    prediction = make(encoder, ids=(2, 20, 21, WORD, 22, 3), units=(-1, 0, 1, 2, 3, -1), read=3)
    found = rollout(prediction)
    assert found.argmax() == 2
    assert found[2] > 0.9


def test_faithfulness_is_that_of_the_definition():
    prediction = make(encoder_of("transformer"), ids=(2, *range(10, 30), 3), units=(-1, *range(20), -1))
    values = np.random.default_rng(0).normal(size=20)
    found = faithfulness(prediction, {"one": values, "other": -values})
    order = np.argsort(-values)
    falls = {"top": [], "rest": []}
    for number in (1, 1, 2, 4, 10):
        hidden = np.zeros(20, bool)
        hidden[order[:number]] = True
        falls["top"].append(prediction.whole - prediction.scores(hidden[None])[0])
        falls["rest"].append(prediction.whole - prediction.scores(~hidden[None])[0])
    assert found["one"].comprehensiveness == pytest.approx(np.mean(falls["top"]), abs=1e-6)
    assert found["one"].sufficiency == pytest.approx(np.mean(falls["rest"]), abs=1e-6)
    assert [*found] == ["one", "other", RANDOM]
    again = faithfulness(prediction, {"one": values}, seed=1)
    assert again["one"] == pytest.approx(found["one"])
    assert again[RANDOM] != found[RANDOM]


@pytest.mark.parametrize(("count", "rows"), itertools.product([1, 2], [1, 100]))
def test_rows_of_one_or_two_units(count, rows):
    ids, units = (2, *range(10, 10 + count), 3), (-1, *range(count), -1)
    prediction = make(encoder_of("mlp"), ids=ids, units=units, tokens_per_batch=rows)
    assert occlusion(prediction)[0] == pytest.approx(
        prediction.whole - prediction.empty if count == 1 else occlusion(prediction)[0]
    )
    assert set(faithfulness(prediction, {})) == {RANDOM}
