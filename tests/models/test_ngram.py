"""The interpolated cloze, compared with counts by hand."""

import copy
from itertools import pairwise

import pytest
import torch

from maskwright.models import CountsTokens, NGram
from maskwright.models.ngram.contexts import context_keys
from maskwright.optim import em

V, MASK = 7, 6
CORPUS = [[0, 1, 2, 3, 1, 2], [0, 1, 2, 4, 1, 3], [0, 5, 2, 3, 2, -1]]  # -1 at padding


def make(left=1, right=1, rows=CORPUS, **settings):
    torch.manual_seed(0)
    model = NGram(V, left, right, mask_id=MASK, **settings)
    head, ids = model.own_head(), torch.tensor(rows)
    head.count([(ids[:2], ids[:2] > 0), (ids[2:], ids[2:] > 0)])
    return model, head


def interpolation(head, draws):
    """Sets the probability of drawing from each context, whatever its count; contexts lose tokens equally often."""
    with torch.no_grad():
        table = head.weights.weight.view(len(head.sides), -1, 3)
        for number, (a, b) in enumerate(head.sides):
            draw, sides = draws[a, b], (a > 0) + (b > 0)
            lost = (1 - draw) / max(sides, 1)
            table[number] = torch.tensor([draw, lost * (a > 0), lost * (b > 0)]).log()


def test_a_prediction_is_the_mixture_of_counts_by_hand():
    model, head = make()
    assert isinstance(head, CountsTokens)
    interpolation(head.eval(), {(1, 1): 0.5, (1, 0): 0.6, (0, 1): 0.4, (0, 0): 1.0})
    found = head(model(torch.tensor([[0, 1, MASK, 3, 1, 2]]), None, torch.tensor([[2]]))).exp()[0, 0]
    # how often each token may be predicted
    alone = (torch.tensor([0, 4, 5, 3, 1, 1, 0]) + 1) / (14 + V)
    between = torch.tensor([0, 0, 1, 0, 0, 0, 0.0])  # 1 _ 3: once 2
    after = torch.tensor([0, 0, 3, 1, 0, 0, 0]) / 4  # after 1: 2, 2, 2 and 3
    before = torch.tensor([0, 1, 2, 0, 0, 0, 0]) / 3  # before 3: 2, 2 and 1
    expected = 0.5 * between + 0.25 * (0.6 * after + 0.4 * alone) + 0.25 * (0.4 * before + 0.6 * alone)
    torch.testing.assert_close(found, expected)


def test_hidden_neighbours_and_unknown_contexts_are_left_out():
    model, head = make()
    interpolation(head.eval(), {(1, 1): 0.5, (1, 0): 0.6, (0, 1): 0.4, (0, 0): 1.0})
    ids = torch.tensor([[0, 4, MASK, MASK, 1, 2], [0, 1, MASK, 5, 1, 2]])
    found = head(model(ids, None, torch.tensor([[2], [2]]))).exp()[:, 0]
    alone = (torch.tensor([0, 4, 5, 3, 1, 1, 0]) + 1) / (14 + V)
    after_four = torch.tensor([0, 1, 0, 0, 0, 0, 0.0])
    after_one = torch.tensor([0, 0, 3, 1, 0, 0, 0]) / 4
    lost = 0.5  # on either side; nothing is drawn from what was never counted
    for row, after in enumerate((after_four, after_one)):
        torch.testing.assert_close(found[row], lost * (0.6 * after + 0.4 * alone) + (1 - lost) * alone)


@pytest.mark.parametrize(("left", "right"), [(0, 0), (2, 0), (0, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_distributions_sum_to_one_and_the_loss_is_theirs(left, right, kept):
    model, head = make(left, right, kept=kept)
    torch.nn.init.normal_(head.weights.weight)
    head.eval()
    ids = torch.randint(0, V, (4, 6))
    positions, targets = torch.randint(0, 6, (4, 3)), torch.randint(0, V, (4, 3))
    valid = torch.rand(4, 3) < 0.7
    hidden = model(ids, torch.rand(4, 6) < 0.9, positions)
    log = head(hidden)
    torch.testing.assert_close(log.exp().sum(-1), torch.ones(4, 3))
    loss, right_ones = head.loss(hidden, targets, valid)
    torch.testing.assert_close(loss, -log.gather(-1, targets[..., None])[..., 0][valid].mean())
    assert torch.equal(right_ones, log.argmax(-1) == targets)


def test_in_training_a_target_is_taken_out_of_the_counts():
    ids = torch.tensor(CORPUS[:2])
    for row, at in ((0, 2), (1, 3), (0, 5)):
        model, head = make(2, 2)
        shown, where = ids[row : row + 1].clone(), torch.tensor([[at]])
        target, shown[0, at] = ids[row : row + 1, at : at + 1].clone(), MASK
        loss, right = head.train().loss(model(shown, None, where), target, torch.tensor([[True]]))
        without = copy.deepcopy(head).eval()
        asked = torch.tensor(CORPUS) > 0
        asked[row, at] = False
        without.count([(torch.tensor(CORPUS), asked)])
        expected, right_too = without.loss(model(shown, None, where), target, torch.tensor([[True]]))
        torch.testing.assert_close(loss, expected)
        assert right == right_too


def test_em_raises_the_likelihood_of_deleted_targets_at_each_step():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, V - 1, (30, 12), generator=generator)
    ids[:, 1::3] = ids[:, ::3]  # each third token repeats the one before
    model, head = make(2, 1, rows=ids.tolist())
    positions = torch.arange(1, 11, 2).expand(30, -1)
    hidden = model(ids.scatter(1, positions, MASK), None, positions)
    optimizer, losses = em(head, lr=1.0, power=0.0, smoothing=0.0), []
    for _ in range(10):
        optimizer.zero_grad()
        loss, _ = head.train().loss(hidden, ids.gather(1, positions), torch.ones(30, 5, dtype=torch.bool))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(after <= before + 1e-6 for before, after in pairwise(losses))
    assert losses[-1] < losses[0] - 0.01


def test_rare_contexts_are_left_out():
    _, head = make(1, 1, minimum=2)
    _, everything = make(1, 1)
    pair, all_pairs = head.tables[0], everything.tables[0]
    frequent = all_pairs.totals >= 2
    assert torch.equal(pair.contexts, all_pairs.contexts[frequent])
    assert pair.counts.sum() == all_pairs.totals[frequent].sum()
    assert torch.equal(head.tables[1].contexts, everything.tables[1].contexts)  # those of one token stay


def test_a_checkpoint_brings_its_counts():
    _, head = make(2, 1)
    other = NGram(V, 2, 1).own_head()
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.tables[0].pairs, head.tables[0].pairs)
    assert other.frequencies.sum() == 14


@pytest.mark.parametrize("vocabulary_size", [50, 8192, 32768])
@pytest.mark.parametrize("n", [3, 6])
def test_keys_tell_contexts_apart(vocabulary_size, n):
    tokens = torch.cartesian_prod(*[torch.arange(8) * (vocabulary_size - 1) // 7] * n)[: 8**5]
    tokens = torch.cat([tokens, tokens.flip(1)]).unique(dim=0)  # each place has each token
    assert len(context_keys(tokens, vocabulary_size)[0].unique()) == len(tokens)


def test_keys_of_unknown_tokens_and_of_the_empty_context():
    assert context_keys(torch.tensor([[3, -1], [3, 2]]), 50)[1].tolist() == [False, True]
    assert context_keys(torch.zeros(4, 0, dtype=torch.long), 50)[1].all()
