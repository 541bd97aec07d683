"""A masked language model that is asked what stands at positions of rows."""

import numpy as np
import pytest
import torch

from maskwright.inference.asked import Query
from maskwright.inference.masked_model import MaskedModel
from maskwright.models import CNN, LSTM, MLP, Transformer, masked_lm_head
from maskwright.run.saved import SavedRun
from maskwright.text.text_rows import windows
from maskwright.text.tokenizer import Trained
from tests.texts import make_text

SIZES = {"hidden_size": 32, "layers": 2}
ENCODERS = {
    "transformer": lambda size: Transformer(size, heads=2, intermediate_size=48, **SIZES),
    "lstm": lambda size: LSTM(size, **SIZES),
    "cnn": lambda size: CNN(size, **SIZES),
    "mlp": lambda size: MLP(size, **SIZES),
}


@pytest.fixture(scope="session")
def tokenizer():
    return Trained("wordpiece", 300, lowercase=True).make(lambda: iter([[make_text(s) for s in range(50)]]))


def make(name, tokenizer, **settings):
    torch.manual_seed(0)
    encoder = ENCODERS[name](len(tokenizer)).eval()
    return MaskedModel(encoder, masked_lm_head(encoder).eval(), tokenizer, **settings)


def answers(model, queries):
    found = {}
    for numbers, logits in model.logits(queries):
        found |= dict(zip(numbers.tolist(), logits, strict=True))
    return torch.stack([found[number] for number in range(len(found))])


@pytest.mark.parametrize("name", ENCODERS)
def test_answers_are_those_of_one_row_at_a_time(name, tokenizer):
    model = make(name, tokenizer, tokens_per_batch=100)
    queries, alone = [], []
    for seed, text in enumerate(model.encode([make_text(s, 1 + s % 3) for s in range(6)])):
        ids = model.row(text.ids)
        hidden = sorted({1 + seed % len(text.ids), 1 + 2 * seed % len(text.ids)})
        queries.append(Query(ids, hidden, hidden[: 1 + seed % 2]))
        shown = torch.tensor(ids)[None]
        shown[0, hidden] = tokenizer.mask_id
        with torch.no_grad():
            alone.append(model.head(model.encoder(shown))[0, list(queries[-1].asked)])
    torch.testing.assert_close(answers(model, queries), torch.cat(alone), atol=2e-5, rtol=1e-4)


def test_logits_of_many_positions_come_in_parts(tokenizer, monkeypatch):
    model = make("mlp", tokenizer)
    queries = [Query(model.row(text.ids), [], range(1, len(text.ids) + 1)) for text in model.encode([make_text(1)])]
    whole = answers(model, queries)
    monkeypatch.setattr("maskwright.inference.masked_model._LOGITS_AT_ONCE", 3 * len(tokenizer))
    assert len(list(model.logits(queries))) == -(-len(whole) // 3)
    torch.testing.assert_close(answers(model, queries), whole)


def test_a_query_without_questions_has_no_answers(tokenizer):
    model = make("mlp", tokenizer)
    assert list(model.logits([Query(model.row(np.array([], dtype=np.int64)), [], [])])) == []
    assert list(model.logits([])) == []


@pytest.mark.parametrize(("length", "room"), [(0, 4), (4, 4), (5, 4), (9, 4), (100, 7), (8, 1), (30, None)])
def test_windows_are_asked_about_each_token_once(length, room):
    found = windows(length, room)
    asked = [i for window in found for i in range(window.first, window.last)]
    assert asked == list(range(length))
    for window in found:
        assert window.begin <= window.first
        assert window.last <= window.end <= length
        assert room is None or window.end - window.begin <= room
    if room is not None and length > room > 3:  # a quarter of a row on either side, but at the ends of the text
        for window in found:
            assert window.begin == 0 or window.first - window.begin >= room // 4
            assert window.end == length or window.end - window.last >= room // 4


def test_a_model_of_the_hub_can_be_drawn_anew(hub_model):
    saved = SavedRun.open(hub_model)
    assert saved.max_length == 64
    encoder, head = saved.untrained()
    assert not torch.equal(encoder.embedding.weight, saved.encoder.embedding.weight)
    assert head.decoder.weight is encoder.embedding.weight
