"""The best tokens for masks, one by one and jointly."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import pipeline

from maskwright.core.errors import UserError
from maskwright.inference.fill import METHODS, fill
from maskwright.inference.masked_model import MaskedModel
from maskwright.models import Transformer, masked_lm_head
from maskwright.run.saved import SavedRun
from maskwright.text.masked_text import MaskReader
from maskwright.text.tokenizer import Trained
from tests.texts import make_text

TEXT = "the old [MASK] crosses [MASK] [MASK] at night."


@pytest.fixture(scope="module")
def model():
    """A small model with few tokens, whose masks depend on each other."""
    tokenizer = Trained("wordpiece", 120, lowercase=True).make(lambda: iter([[make_text(s) for s in range(50)]]))
    torch.manual_seed(1)
    encoder = Transformer(len(tokenizer), hidden_size=16, layers=2, heads=2, intermediate_size=24).eval()
    for weight in encoder.parameters():
        weight.data.mul_(4)
    return MaskedModel(encoder, masked_lm_head(encoder).eval(), tokenizer, max_length=64)


def step(model, ids, position):
    """The log-probabilities (V,) at one position of one row, as the model alone gives them."""
    with torch.no_grad():
        return (
            model.head(model.encoder(torch.tensor(model.row(ids))[None]))[0, position + 1].log_softmax(-1).numpy()
        )


def chained(model, text, tokens):
    """The log-probability of tokens by the chain rule, in the order in which they are given."""
    ids, total = text.ids.copy(), 0.0
    for mask, token in tokens.items():
        total += step(model, ids, text.masks[mask])[token]
        ids[text.masks[mask]] = token
    return total


def test_fills_are_those_of_the_pipeline(hub_model):
    saved = SavedRun.open(hub_model)
    model = MaskedModel(saved.encoder, saved.head, saved.tokenizer, saved.max_length)
    texts = ["The old [MASK] crosses the harbour at night.", "[MASK] and [MASK]", "A [MASK]."]
    theirs = pipeline("fill-mask", model=str(hub_model), tokenizer=str(hub_model), top_k=len(model.tokenizer))
    special = {*model.tokenizer.special_ids}
    masked = MaskReader(model).read(texts)
    for text, fills in zip(masked, fill(model, masked, top_k=20), strict=True):
        rows = theirs(text.text)
        for mask, row in enumerate(rows if isinstance(rows[0], list) else [rows]):
            best = [(one["token"], one["score"]) for one in row if one["token"] not in special][:20]
            choice = fills[0].choices[mask]
            assert choice.probabilities == pytest.approx([score for _, score in best], rel=1e-4)
            known = dict(best)
            assert sum(token in known for token in choice.ids) >= 19  # but for ties by rounding
            for token, value in zip(choice.ids, choice.probabilities, strict=True):
                assert known.get(token, value) == pytest.approx(value, rel=1e-4)


def test_independent_fills_are_the_most_probable_combinations(model):
    (text,) = MaskReader(model).read([TEXT])
    (fills,) = fill(model, [text], top_k=4)
    values = [step(model, text.ids, position) for position in text.masks]
    ordinary = model.tokenizer.ordinary_ids
    best = [sorted(ordinary, key=lambda i, own=own: -own[i])[:6] for own in values]
    products = {c: sum(own[i] for own, i in zip(values, c, strict=True)) for c in itertools.product(*best)}
    expected = sorted(products, key=lambda c: -products[c])[:4]
    assert [tuple(found.in_order) for found in fills] == expected
    assert [found.log_probability for found in fills] == pytest.approx([products[c] for c in expected], abs=1e-4)


@pytest.mark.parametrize("method", ["left_to_right", "best_first", "beam"])
def test_joint_probabilities_follow_the_chain_rule_in_the_order_of_filling(model, method):
    texts = MaskReader(model).read([TEXT, "[MASK] river.", ""])
    for text, fills in zip(texts, fill(model, texts, method, top_k=3, beams=4), strict=True):
        assert len(fills) == (0 if not len(text.masks) else 3 if method == "beam" else 1)
        for found in fills:
            assert found.log_probability == pytest.approx(chained(model, text, found.tokens), abs=1e-4)
            if method != "best_first":
                assert [*found.tokens] == sorted(found.tokens)


def test_each_mask_gets_its_best_token_where_it_is_filled(model):
    (text,) = MaskReader(model).read([TEXT])
    ((left,), (best,)) = (fill(model, [text], method)[0] for method in ("left_to_right", "best_first"))
    ordinary = model.tokenizer.ordinary_ids
    for found, all_masks in ((left, False), (best, True)):
        ids, masks = text.ids.copy(), {0, 1, 2}
        for mask, token in found.tokens.items():
            values = {m: step(model, ids, text.masks[m])[ordinary].max() for m in masks}
            assert mask == (max(values, key=values.get) if all_masks else min(masks))
            assert step(model, ids, text.masks[mask])[token] == pytest.approx(values[mask], abs=1e-5)
            assert found.choices[mask].ids[0] == token
            ids[text.masks[mask]] = token
            masks.remove(mask)


def test_enough_beams_find_the_most_probable_fill(model):
    (text,) = MaskReader(model).read(["the [MASK] [MASK] sleeps"])
    ids = model.tokenizer.ordinary_ids[::4]
    pairs = {}
    for first in ids:
        filled = text.ids.copy()
        filled[text.masks[0]] = first
        value = step(model, text.ids, text.masks[0])[first] + step(model, filled, text.masks[1])
        pairs |= {(first, second): value[second] for second in ids}
    (fills,) = fill(model, [text], "beam", top_k=10, beams=len(ids), candidates=ids)
    expected = sorted(pairs.values(), reverse=True)[:10]
    assert [found.log_probability for found in fills] == pytest.approx(expected, abs=1e-4)
    assert max(pairs, key=pairs.get) == tuple(fills[0].in_order)
    (greedy,) = fill(model, [text], "left_to_right", candidates=ids)
    (narrow,) = fill(model, [text], "beam", beams=1, candidates=ids)
    assert narrow[0].tokens == greedy[0].tokens
    assert greedy[0].log_probability <= fills[0].log_probability + 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_batches_do_not_change_fills(model, method):
    texts = MaskReader(model).read([make_text(seed, 1 + seed % 2) for seed in range(5)], ["."])
    together = fill(replace(model, tokens_per_batch=64), texts, method)
    for text, fills in zip(texts, together, strict=True):
        (alone,) = fill(model, [text], method)
        values = [found.log_probability for found in alone]
        assert [found.log_probability for found in fills] == pytest.approx(values, abs=1e-4)


def test_only_candidates_are_chosen(model):
    reader = MaskReader(model)
    (text,) = reader.read([TEXT])
    ids = [reader.candidate("the"), reader.candidate("a")]
    (fills,) = fill(model, [text], candidates=ids)
    assert len(fills) == 5
    for found in fills:
        assert {*found.in_order} <= {*ids}
    for choice in fills[0].choices.values():
        assert sorted(choice.ids) == sorted(ids)
        assert choice.probabilities.sum() < 1  # of the whole vocabulary
    everything = fill(model, [text], "left_to_right", top_k=1000)[0][0].choices[0]
    assert sorted(everything.ids) == model.tokenizer.ordinary_ids


def test_a_long_text_is_read_in_the_window_around_each_mask(model):
    short = replace(model, max_length=12)
    reader = MaskReader(short)
    (text,) = reader.read(
        ["[MASK] river. " + make_text(1, 3) + " The [MASK] remembers. " + make_text(2, 3) + " [MASK]"]
    )
    (fills,) = fill(short, [text])
    begins = [0, text.masks[1] - 5, len(text.ids) - 10]
    for mask, begin in enumerate(begins):
        position = text.masks[mask]
        values = step(model, text.ids[begin : begin + 10], position - begin)
        expected = np.sort(values[model.tokenizer.ordinary_ids])[::-1][:5]
        assert fills[0].choices[mask].log_probabilities == pytest.approx(expected, abs=1e-4)
    with pytest.raises(UserError, match="Shorten it, or set long=windows"):
        reader.read([text.text], long="refuse")
