"""Unmasking: what is drawn from is known, and the number of unmasked tokens follows the schedule."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from maskwright.inference.generate import (
    Conditionals,
    Proposals,
    Randomness,
    Recipe,
    Unmasking,
    masked_share,
    still_masked,
    template_of,
    unmask,
    write,
)
from maskwright.inference.masked_model import MaskedModel
from maskwright.text.masked_text import MaskReader
from tests.inference.test_generate import WORDS, counts, row_of, small, variation  # noqa: F401  a fixture
from tests.inference.test_masked_model import make, tokenizer  # noqa: F401  a fixture

CHAINS = 6000
# of 27 rows, 6,000 that are drawn independently have a total variation of about 0.026
BOUND = 0.05
FREE = np.array([1, 2, 3])


def written(model, how, proposals=None, text="[MASK] [MASK] [MASK]", free=FREE):
    row = row_of(model, text)
    rows = np.tile(row, (CHAINS, 1))
    found = unmask(Conditionals(model), rows, free, Randomness(0, np.arange(CHAINS)), proposals or Proposals(), how)
    return counts(model, found, free)


def exact(model, how, proposals=None):
    """The distribution of the sampler, by following all rows with and without masks, each with its probability."""
    ask, ids, mask = Conditionals(model), model.tokenizer.ordinary_ids, model.tokenizer.mask_id
    states = {(mask, mask, mask): 1.0}
    for block, passes in how.blocks(FREE):
        for done in range(1, passes + 1):
            chance = 1 - masked_share(done, passes, how.decay) / masked_share(done - 1, passes, how.decay)
            after: dict[tuple[int, ...], float] = {}
            for state, probability in states.items():
                row = model.row(np.array(state))
                logits = ask.logits(row[None], FREE[None], masks=False)[0]
                shares = (proposals or Proposals()).log_probabilities(logits, ask.ordinary).exp().numpy()
                choices = []
                for place, token in enumerate(state):
                    if token != mask or place + 1 not in block:
                        choices.append([(token, 1.0)])
                    else:
                        choices.append([(mask, 1 - chance), *((i, chance * shares[place, i]) for i in ids)])
                for choice in itertools.product(*choices):
                    new = tuple(token for token, _ in choice)
                    after[new] = after.get(new, 0.0) + probability * math.prod(p for _, p in choice)
            states = after
    return np.array([states.get(tokens, 0.0) for tokens in itertools.product(ids, repeat=3)])


@pytest.mark.parametrize(
    ("how", "proposals"),
    [
        (Unmasking("ancestral", passes=3), None),
        (Unmasking("ancestral", passes=1), None),
        (Unmasking("ancestral", passes=4, decay="cosine"), Proposals(temperature=0.7)),
        (Unmasking("ancestral", passes=4, block_length=2), None),
    ],
    ids=["as many passes as tokens", "one pass", "cosine", "blocks"],
)
def test_ancestral_sampling_draws_from_the_reverse_process(small, how, proposals):  # noqa: F811
    expected = exact(small, how, proposals)
    assert expected.sum() == pytest.approx(1)
    assert variation(written(small, how, proposals), expected) < BOUND


class Joint(nn.Module):
    """A head whose conditional distributions are those of one joint distribution over rows of three words."""

    def __init__(self, joint, size, first):
        super().__init__()
        self.joint, self.size, self.first = joint, size, first

    def forward(self, hidden):
        found = []
        for number in hidden[..., 0].long().flatten().tolist():
            key, position = divmod(number, 5)
            ids = [key // self.size**place % self.size for place in range(3)]
            own = self.joint
            for place in range(3):
                if place + 1 != position and ids[place] >= self.first:
                    chosen = torch.tensor([ids[place] - self.first])
                    own = own.index_select(place, chosen)
                elif place + 1 != position:
                    own = own.sum(place, keepdim=True)
            logits = torch.full((self.size,), -30.0)
            logits[self.first :] = (own.flatten() / own.sum()).log()
            found.append(logits)
        return torch.stack(found).view(*hidden.shape[:-1], self.size)


def test_one_token_at_a_time_draws_from_the_joint_distribution_of_a_model(small):  # noqa: F811
    """Blocks of one token do so exactly; independent unmasking in many passes rarely unmasks two at once."""
    generator = torch.Generator().manual_seed(3)
    joint = torch.rand(3, 3, 3, generator=generator).pow(4)
    joint /= joint.sum()
    size = len(small.tokenizer)
    model = MaskedModel(small.encoder, Joint(joint, size, size - len(WORDS)), small.tokenizer)
    expected = joint.flatten().numpy()
    one_by_one = Unmasking("ancestral", passes=3, block_length=1)
    assert variation(exact(model, one_by_one), expected) < 1e-5
    assert variation(written(model, one_by_one), expected) < BOUND
    distances = [variation(exact(model, Unmasking("ancestral", passes)), expected) for passes in (1, 3, 30)]
    assert distances[0] > 0.3
    assert distances[0] > 2 * distances[1] > 4 * distances[2]
    assert distances[2] < 0.03
    assert variation(written(model, Unmasking("ancestral", 30)), expected) < 0.03 + BOUND


class Counting(Conditionals):
    """Notes how many of the asked positions of each row are masked."""

    def __init__(self, model):
        super().__init__(model)
        self.masked = []

    def logits(self, rows, positions, masks=True):
        self.masked.append((np.take_along_axis(rows, positions, 1) == self.mask_id).sum(1))
        return super().logits(rows, positions, masks)


@pytest.mark.parametrize("decay", ["linear", "cosine"])
@pytest.mark.parametrize("order", ["ancestral", "confidence"])
def test_the_number_of_unmasked_tokens_follows_the_schedule(tokenizer, order, decay):  # noqa: F811
    ask, free = Counting(make("mlp", tokenizer)), np.arange(1, 21)
    rows = ask.model.row(np.full(20, tokenizer.mask_id))
    unmask(
        ask,
        np.tile(rows, (300, 1)),
        free,
        Randomness(0, np.arange(300)),
        Proposals(),
        Unmasking(order, 8, decay),
    )
    found = np.array(ask.masked)  # before each pass
    if order == "confidence":
        expected = [still_masked(20, done, 8, decay) for done in range(8)]
        kept = [n for n, after in zip(expected, [*expected[1:], 0], strict=True) if n != after]
        assert found.tolist() == [[number] * 300 for number in kept]
        return
    shares = np.array([masked_share(done, 8, decay) for done in range(8)])
    error = np.sqrt(20 * shares * (1 - shares) / 300)
    assert (
        np.abs(found.mean(1) - 20 * shares) <= 4 * error
    ).all()  # binomial: the tokens know nothing of each other
    assert found.std(1)[1:].min() > 0


def test_the_most_certain_tokens_are_unmasked_first(small):  # noqa: F811
    """With top_k=1, written out for one row."""
    row, ids = row_of(small, "[MASK] [MASK] [MASK]"), small.tokenizer.ordinary_ids
    ask = Conditionals(small)
    found = unmask(
        ask, row[None], FREE, Randomness(0, np.array([0])), Proposals(top_k=1), Unmasking("confidence", 3)
    )
    masked = [1, 2, 3]
    for _ in range(3):
        logits = ask.logits(row[None], np.array([masked]), masks=False)[0].double()
        best = logits[:, ids].argmax(1) + ids[0]
        certainty = logits.log_softmax(1)[range(len(masked)), best]
        first = int(certainty.argmax())
        row[masked.pop(first)] = best[first]
    assert found[0].tolist() == row.tolist()


def test_blocks_are_written_from_left_to_right_and_share_the_passes():
    how = Unmasking("confidence", passes=10, block_length=3)
    blocks = how.blocks(np.array([7, 1, 2, 9, 3, 4, 8]))
    assert [(own.tolist(), passes) for own, passes in blocks] == [([1, 2, 3], 3), ([4, 7, 8], 3), ([9], 4)]
    assert [passes for _, passes in Unmasking(passes=2, block_length=1).blocks(FREE)] == [1, 1, 1]
    assert [(own.tolist(), passes) for own, passes in Unmasking(passes=5).blocks(FREE)] == [([1, 2, 3], 5)]


@pytest.mark.parametrize("order", ["ancestral", "confidence"])
def test_text_does_not_depend_on_the_number_of_chains(tokenizer, order):  # noqa: F811
    model = make("transformer", tokenizer)
    reader = MaskReader(model)
    template = template_of(reader, "the [MASK] [MASK] sailor [MASK]", None, None)
    recipe = Recipe(order, Proposals(top_p=0.9), passes=2, block_length=2)
    said: list[str] = []
    first = write(model, template, recipe, 11, seed=3, progress=said.append)
    assert said[0] == "pass 1 of 2, chains 1 to 8 of 11"
    fewer = write(make("transformer", tokenizer, tokens_per_batch=7), template, recipe, 2, seed=3)
    assert (fewer.tokens == first.tokens[:2]).all()
    assert first.chains is None
    assert np.isin(first.tokens, tokenizer.ordinary_ids).all()
    assert (write(model, template, recipe, 2, seed=4).tokens != fewer.tokens).any()
    text = reader.filled(template, first.tokens[0, 0].tolist())
    assert text.startswith("the")
    assert " sailor" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"passes": 0}, "passes is 0; it is at least 1"),
        ({"block_length": 0}, "block_length is 0; it is at least 1"),
    ],
)
def test_what_writes_nothing_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Unmasking(**settings)
