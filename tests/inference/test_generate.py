"""Text from a masked model, by methods whose distributions are known."""

import itertools

import numpy as np
import pytest
import tokenizers
import torch
from torch import nn
from torchmetrics.functional.text import bleu_score

from maskwright.core.errors import UserError
from maskwright.inference.generate import (
    Conditionals,
    Plan,
    Proposals,
    Randomness,
    Recipe,
    Sampler,
    Target,
    diversity,
    draw,
    mask_predict,
    run_chains,
    still_masked,
    template_of,
    write,
)
from maskwright.inference.masked_model import MaskedModel
from maskwright.inference.score import score
from maskwright.text.masked_text import MaskReader
from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokenizer.wrapper import SPECIAL_TOKENS
from tests.inference.test_masked_model import ENCODERS, make, tokenizer  # noqa: F401  a fixture

WORDS = ("a", "b", "c")


class Table(nn.Module):
    """An encoder whose hidden states number the rows and positions, of three words."""

    def __init__(self, size):
        super().__init__()
        self.embedding = nn.Embedding(size, 1)
        self.size = size

    def forward(self, input_ids, attention_mask=None, positions=None):
        places = self.size ** torch.arange(3)
        return ((input_ids[:, 1:4] * places).sum(1, keepdim=True) * 5 + positions)[..., None].double()


class Rows(nn.Module):
    """A head that gives logits of their own to each number, and so to each row and position."""

    def __init__(self, size):
        super().__init__()
        self.logits = 0.5 * torch.randn(size**3 * 5, size, generator=torch.Generator().manual_seed(0))

    def forward(self, hidden):
        return self.logits[hidden[..., 0].long()]


@pytest.fixture(scope="module")
def small():
    """A model of three words whose conditional distributions belong to no joint one."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL_TOKENS.values(), *WORDS])}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    backend.add_special_tokens(list(SPECIAL_TOKENS.values()))
    found = Tokenizer(backend, SPECIAL_TOKENS)
    return MaskedModel(Table(len(found)), Rows(len(found)), found)


def row_of(model, text):
    return model.row(np.array([model.tokenizer.backend.token_to_id(token) for token in text.split()]))


def exact(model, row, free, kind, temperature):
    """The distribution exp(-energy / temperature) over the tokens at `free`, in the order of itertools.product,
    each energy from a forward pass of its own for each token."""
    ids, energies = model.tokenizer.ordinary_ids, []
    for tokens in itertools.product(ids, repeat=len(free)):
        own = torch.tensor(row)[None]
        own[0, free] = torch.tensor(tokens)
        energy = 0.0
        for position in range(1, 4):
            masked = own.clone()
            masked[0, position] = model.tokenizer.mask_id
            logits = model.head(model.encoder(masked, None, torch.tensor([[position]])))[0, 0]
            scores = logits if kind == "raw" else logits.log_softmax(-1)
            energy -= float(scores[own[0, position]])
        energies.append(energy / temperature)
    return torch.tensor(energies).neg().softmax(0).numpy()


def counts(model, rows, free):
    """How often each combination of tokens at `free` is in rows (N, T), as shares."""
    first = min(model.tokenizer.ordinary_ids)
    places = len(WORDS) ** np.arange(len(free))[::-1]
    return np.bincount(((rows[:, free] - first) * places).sum(1), minlength=len(WORDS) ** len(free)) / len(rows)


def variation(one, other):
    return 0.5 * np.abs(one - other).sum()


# of 27 rows, 4,000 that are drawn independently have a total variation of about 0.03
BOUND = 0.05
CHAINS = 400


def chains(model, row, free, proposals=None, block=1, target=None):
    sampler = Sampler(Conditionals(model), Randomness(0, np.arange(CHAINS)), proposals or Proposals(), target)
    found = run_chains(sampler, np.tile(row, (CHAINS, 1)), np.array(free), Plan(6, 20, 1, block))
    return found, counts(model, found.rows.reshape(-1, len(row)), free)


@pytest.mark.parametrize(
    ("kind", "text", "block", "temperature", "proposals"),
    [
        ("local", "[MASK] [MASK] [MASK]", 1, 1.0, Proposals()),
        ("raw", "[MASK] b [MASK]", 1, 0.8, Proposals(temperature=2.0)),
        ("local", "[MASK] [MASK] c", 2, 1.2, Proposals(temperature=1.5)),
    ],
)
def test_metropolis_hastings_draws_from_its_distribution(small, kind, text, block, temperature, proposals):
    row = row_of(small, text)
    free = np.flatnonzero(row == small.tokenizer.mask_id)
    expected = exact(small, row, free, kind, temperature)
    found, shares = chains(small, row, free, proposals, block, Target(range(1, 4), kind, temperature))
    assert variation(shares, expected) < BOUND
    assert 0.2 < found.accepted.mean() < 0.98
    assert (found.changed <= found.accepted).all()
    # what is kept without a test for acceptance is distributed otherwise
    _, gibbs = chains(small, row, free, proposals, block)
    assert variation(gibbs, expected) > 2 * BOUND


def test_gibbs_sampling_draws_from_the_limit_of_its_transitions(small):
    """A sweep over two positions goes through them in either order, each as often."""
    row, free, ids = row_of(small, "[MASK] [MASK] c"), [1, 2], small.tokenizer.ordinary_ids
    states = list(itertools.product(ids, repeat=2))
    ask = Conditionals(small)

    def transitions(position):
        matrix = np.zeros((9, 9))
        for number, state in enumerate(states):
            own = row.copy()
            own[free] = state
            logits = ask.logits(own[None], np.array([[position]]))[0, 0].double()
            for token, p in zip(ids, logits[ids].softmax(0).tolist(), strict=True):
                new = list(state)
                new[position - 1] = token
                matrix[number, states.index(tuple(new))] += p
        return matrix

    one, two = transitions(1), transitions(2)
    limit = np.linalg.matrix_power((one @ two + two @ one) / 2, 200)[0]
    found, shares = chains(small, row, free)
    assert variation(shares, limit) < BOUND
    assert found.accepted.all()
    assert found.energies is None


def test_what_cannot_be_undone_is_rejected(small):
    """With top_k=1, the only way from a row is to its likeliest token, and there is no way back from there."""
    sampler = Sampler(Conditionals(small), Randomness(0, np.arange(50)), Proposals(top_k=1), Target(range(1, 4)))
    rows = np.tile(row_of(small, "a b c"), (50, 1))
    rows[:, 1:4] = np.random.default_rng(0).choice(small.tokenizer.ordinary_ids, (50, 3))
    energies, positions = sampler.energies(rows), np.full((50, 1), 2)
    likeliest = sampler.ask.logits(rows, positions)[:, 0, small.tokenizer.ordinary_ids].argmax(1).numpy()
    there = small.tokenizer.ordinary_ids[0] + likeliest == rows[:, 2]
    after, same, accepted, impossible = sampler.step(rows, energies, positions, 1)
    assert (after == rows).all()
    assert (same == energies).all()
    assert (accepted == there).all()
    assert (impossible == ~there).all()
    assert 5 < there.sum() < 45


def test_local_energies_are_pseudo_log_likelihoods(tokenizer):  # noqa: F811
    model = make("lstm", tokenizer)
    texts = model.encode(["the old sailor went home", "a ship was there, at sea"])
    for text in texts:
        rows = model.row(text.ids)[None]
        [energy] = Conditionals(model).energies(rows, range(1, rows.shape[1] - 1), "local")
        assert -energy == pytest.approx(score(model, [text.text], "original")[0].pll, abs=1e-4)


METHODS = {
    "mask_predict": Recipe("mask_predict", passes=3),
    "gibbs": Recipe("gibbs", Proposals(top_k=50), Plan(2, 2, 1)),
    "metropolis": Recipe("metropolis", Proposals(top_p=0.9), Plan(2, 1, 1, block=2)),
}


@pytest.mark.parametrize("method", METHODS)
def test_text_does_not_depend_on_the_size_of_batches(tokenizer, method):  # noqa: F811
    model = make("transformer", tokenizer)
    template = template_of(MaskReader(model), "the [MASK] [MASK] sailor [MASK]", None, None)
    first = write(model, template, METHODS[method], 11, seed=3)
    other = make("transformer", tokenizer, tokens_per_batch=7)
    fewer = write(other, template, METHODS[method], 2, seed=3)
    assert (fewer.tokens == first.tokens[:2]).all()
    if method == "metropolis":
        assert (fewer.chains.energies == first.chains.energies[:2]).all()  # bit by bit
    assert np.isin(first.tokens, tokenizer.ordinary_ids).all()
    assert len(np.unique(first.tokens[:, 0], axis=0)) > 5
    assert (write(model, template, METHODS[method], 2, seed=4).tokens != fewer.tokens).any()


@pytest.mark.parametrize("name", ENCODERS)
def test_given_words_stay(tokenizer, name):  # noqa: F811
    model = make(name, tokenizer)
    reader = MaskReader(model)
    template = template_of(reader, "the [MASK] sailor [MASK] .", None, None)
    for recipe in METHODS.values():
        written = write(model, template, recipe, 1)
        assert written.tokens.shape == (1, recipe.plan.samples if recipe.method == "gibbs" else 1, 2)
        text = reader.filled(template, written.tokens[0, 0].tolist())
        assert text.startswith("the")
        assert " sailor" in text
        assert text.endswith(".")


def test_mask_predict_masks_the_least_certain_again(small):
    """With top_k=1, as in the paper, written out for one row."""
    row, tokenizer_ = row_of(small, "[MASK] [MASK] [MASK]"), small.tokenizer
    ask = Conditionals(small)
    found = mask_predict(
        ask, row[None], np.array([1, 2, 3]), Randomness(0, np.array([0])), Proposals(top_k=1), passes=3
    )
    own, certainty = row.copy(), np.zeros(5)
    masked = [1, 2, 3]
    for number in (2, 1, 0):
        own[masked] = tokenizer_.mask_id
        logits = ask.logits(own[None], np.array([masked]))[0].double()
        best = logits[:, tokenizer_.ordinary_ids].argmax(1).numpy() + tokenizer_.ordinary_ids[0]
        certainty[masked] = logits.log_softmax(1)[range(len(masked)), best]
        own[masked] = best
        masked = sorted(1 + np.argsort(certainty[1:4], kind="stable")[:number])
    assert found[0].tolist() == own.tolist()


def test_fewer_and_fewer_tokens_are_masked_again():
    assert [still_masked(12, done, 4, "linear") for done in range(5)] == [12, 9, 6, 3, 0]
    assert [still_masked(12, done, 4, "cosine") for done in range(5)] == [12, 11, 8, 4, 0]
    assert [still_masked(3, done, 10, "linear") for done in range(1, 11)] == [2, 2, 2, 1, 1, 1, 0, 0, 0, 0]


def test_proposals_cut_the_tail():
    logits = torch.tensor([[2.0, 1.0, 1.0, 0.0, 3.0]])
    ordinary = torch.tensor([0, 1, 2, 3])

    def shares(**settings):
        return Proposals(**settings).log_probabilities(logits, ordinary).exp()[0].tolist()

    whole = torch.tensor([2.0, 1.0, 1.0, 0.0]).double().softmax(0)
    assert shares() == pytest.approx([*whole.tolist(), 0])
    assert shares(temperature=0.5) == pytest.approx([*torch.tensor([4.0, 2.0, 2.0, 0.0]).softmax(0).tolist(), 0])
    two = (whole[:2] / whole[:2].sum()).tolist()
    assert shares(top_k=2) == pytest.approx([*two, 0, 0, 0])
    assert shares(top_k=100) == shares()
    assert shares(top_p=float(whole[0]) + 1e-6) == pytest.approx([*two, 0, 0, 0])
    assert shares(top_p=1e-9) == shares(top_k=1) == [1, 0, 0, 0, 0]


def test_draws_have_the_distribution_of_proposals():
    log_probabilities = torch.tensor([0.5, 0.0, 0.3, 0.2, 0.0]).double().log()
    uniform = torch.linspace(1e-9, 1 - 1e-9, 1000).double()
    tokens = draw(log_probabilities.expand(1000, 5), uniform)
    assert torch.bincount(tokens, minlength=5).tolist() == pytest.approx([500, 0, 300, 200, 0], abs=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0; it is more than 0. The likeliest token is drawn by top_k=1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0.0; it is more than 0"),
        ({"top_p": 1.5}, "top_p is 1.5; it is more than 0 and at most 1"),
        ({"top_k": 0}, "top_k is 0; it is at least 1"),
    ],
)
def test_proposals_without_meaning_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Proposals(**settings)


@pytest.mark.parametrize(
    ("text", "length", "room", "message"),
    [
        ("the old sailor", None, None, r"'the old sailor' has no mask\. Write \[MASK\] where"),
        ("  ", None, None, r"An empty text has no mask\. Write \[MASK\] for each token"),
        ("the [MASK] sailor", 5, None, "length=5 is given for the text 'the .MASK. sailor', which has masks"),
        ("the <mask> sailor", 5, None, "length=5 is given for the text 'the <mask> sailor', which has masks"),
        (
            "the the the",
            3,
            None,
            "length=3 leaves nothing to write: the text 'the the the' has 3 tokens. Set it to 4",
        ),
        ("the the the", 3, 3, r"'the the the' has 3 tokens, but the model reads rows of 3\. Shorten it, so that"),
        ("", 99, 62, "length=99, but the model reads rows of 62 tokens"),
        ("the [MASK] the the", None, 3, r"'the .MASK. the the' has 4 tokens, but the model reads rows of 3\."),
    ],
)
def test_templates_that_cannot_be_written_are_refused(tokenizer, text, length, room, message):  # noqa: F811
    with pytest.raises(UserError, match=message):
        template_of(MaskReader(make("mlp", tokenizer)), text, length, room)


@pytest.mark.parametrize("prompt", ["", "the the "])
def test_a_length_continues_a_prompt(tokenizer, prompt):  # noqa: F811
    reader = MaskReader(make("mlp", tokenizer))
    template = template_of(reader, prompt, 5, 5)
    assert len(template.ids) == 5
    given = len(prompt.split())
    assert template.masks.tolist() == list(range(given, 5))
    the = int(reader.tokenizer.encode(["the"])[0][0][0])
    assert reader.filled(template, [the] * (5 - given)) == "the the the the the"


def test_groups_of_chains_say_which_they_are(small, monkeypatch):
    monkeypatch.setattr("maskwright.inference.generate.writing._TOGETHER", 2)
    said = []
    template = template_of(MaskReader(small), "a [MASK] c", None, None)
    write(small, template, Recipe("metropolis", plan=Plan(2)), 3, progress=said.append)
    assert said[1:3] == ["sweep 2 of 2, chains 1 to 2 of 3", "sweep 1 of 2, chains 3 to 3 of 3"]


def test_diversity_of_texts():
    found = diversity(["The cat sat.", "the cat ran."])
    assert found.distinct_1 == pytest.approx(5 / 8)
    assert found.distinct_2 == pytest.approx(5 / 6)
    one, two = "the cat sat .", "the cat ran ."
    expected = (bleu_score([one], [[two]], n_gram=2) + bleu_score([two], [[one]], n_gram=2)) / 2
    assert found.self_bleu == pytest.approx(float(expected))
    assert diversity(["the same text", "The same text"]).self_bleu == pytest.approx(1)
    assert diversity(["alone"]) == (1, None, None)
    assert diversity([""]) == (None, None, None)
