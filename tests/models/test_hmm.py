"""The hidden Markov model, compared with sums over all sequences of states."""

import copy
from itertools import pairwise, product

import pytest
import torch

from maskwright.models import HMM
from maskwright.models.hmm.forward_backward import expected_moves, forward_backward, viterbi
from maskwright.models.layers.attention_mask import documents_apart
from maskwright.optim import em

V, S, MASK = 5, 3, 4


@pytest.fixture
def hmm():
    torch.manual_seed(0)
    return HMM(V, S, mask_id=MASK).double().eval()


def joint(hmm):
    """Returns a function of states and tokens: p(the states, those of the tokens that are seen)."""
    tables = hmm.initial, hmm.transitions, hmm.embedding
    (initial,), moves, emissions = (table.probabilities().tolist() for table in tables)

    def probability(states, tokens, seen, starts) -> float:
        total = 1.0
        for at, (state, token) in enumerate(zip(states, tokens, strict=True)):
            total *= initial[state] if starts[at] else moves[states[at - 1]][state]
            total *= emissions[token][state] if seen[at] else 1.0
        return total

    return probability


def row(tokens, documents=None):
    """Returns ids (1, T), what the encoder gets as a mask, which tokens are seen, and where chains begin."""
    ids = torch.tensor([tokens])
    if documents is None:
        return ids, None, [token != MASK for token in tokens], [at == 0 for at in range(len(tokens))]
    numbers = torch.tensor([documents])
    starts = [at == 0 or documents[at] != documents[at - 1] for at in range(len(tokens))]
    return ids, numbers[:, :, None] == numbers[:, None], [token != MASK for token in tokens], starts


ROWS = [row([0, 1, MASK, 3, MASK]), row([2, 2, 1, 0, 1]), row([0, MASK, MASK, 1, 2], documents=[0, 0, 1, 1, 2])]


@pytest.mark.parametrize(("ids", "mask", "seen", "starts"), ROWS, ids=["masked", "seen", "documents"])
def test_likelihood_posteriors_and_the_best_path_equal_those_over_all_paths(hmm, ids, mask, seen, starts):
    tokens = ids[0].tolist()
    probability = joint(hmm)
    weight = {path: probability(path, tokens, seen, starts) for path in product(range(S), repeat=len(tokens))}
    torch.testing.assert_close(hmm.log_likelihood(ids, mask).exp()[0].item(), sum(weight.values()))
    best = max(weight, key=weight.get)
    path, score = hmm.viterbi(ids, mask)
    assert tuple(path[0].tolist()) == best
    torch.testing.assert_close(score.exp()[0].item(), weight[best])
    evidence, begins = hmm.embed(ids, mask)[..., :-1], torch.tensor([starts])
    tables = hmm.initial.weight[0], hmm.transitions.weight
    chain = forward_backward(evidence, *tables, begins)
    posterior, moves = torch.zeros(len(tokens), S), torch.zeros(S, S)
    for states, share in weight.items():
        for at, state in enumerate(states):
            posterior[at, state] += share
            if not starts[at]:
                moves[states[at - 1], state] += share
    total = sum(weight.values())
    torch.testing.assert_close(chain.posterior()[0].float(), posterior / total)
    torch.testing.assert_close(expected_moves(chain, evidence, tables[1], ~begins).float(), moves / total)


@pytest.mark.parametrize(("ids", "mask", "seen", "starts"), ROWS, ids=["masked", "seen", "documents"])
def test_a_fill_is_the_exact_posterior_given_all_other_tokens(hmm, ids, mask, seen, starts):
    hmm.kept = 0.25
    found = hmm.own_head()(hmm(ids, mask)).exp()[0]
    tokens, everything = ids[0].tolist(), list(product(range(S), repeat=ids.shape[1]))
    probability = joint(hmm)
    for at in range(len(tokens)):
        known = [*seen[:at], True, *seen[at + 1 :]]
        fills = [[*tokens[:at], token, *tokens[at + 1 :]] for token in range(V)]
        exact = torch.tensor([sum(probability(path, fill, known, starts) for path in everything) for fill in fills])
        if seen[at]:  # what stands there is the true token in a quarter of the cases
            exact *= 0.25 * (torch.arange(V) == tokens[at]) + 0.75 / V
        torch.testing.assert_close(found[at].float(), exact / exact.sum())


def test_the_loss_of_the_head_is_that_of_its_log_probabilities(hmm):
    head, ids = hmm.own_head(), torch.randint(0, V, (4, 9))
    positions, targets = torch.randint(0, 9, (4, 3)), torch.randint(0, V, (4, 3))
    valid = torch.rand(4, 3) < 0.7
    hidden = hmm(ids, None, positions)
    loss, right = head.loss(hidden, targets, valid)
    log = head(hidden)
    torch.testing.assert_close(log.exp().sum(-1), torch.ones(4, 3).double())
    torch.testing.assert_close(loss, -log.gather(-1, targets[..., None])[..., 0][valid].mean())
    assert torch.equal(right, log.argmax(-1) == targets)


def gradients(hmm, loss):
    return torch.autograd.grad(loss, [hmm.transitions.weight, hmm.embedding.weight, hmm.initial.weight])


def test_gradients_are_expected_counts_and_those_of_the_likelihood(hmm):
    ids, documents = torch.randint(0, V, (4, 5)), ROWS[2][1].expand(4, 5, 5)
    for mask in (None, documents):
        counts = gradients(hmm, hmm.own_loss(ids, mask))
        likelihood = gradients(hmm, -hmm.log_likelihood(ids, mask).mean())
        for one, other in zip(counts[:2], likelihood, strict=False):  # of probabilities that need not sum to 1
            torch.testing.assert_close(one, other)
        torch.testing.assert_close(counts[2].sum().item(), -1.0 if mask is None else -3.0)  # documents of a row


@pytest.mark.parametrize("apart", [False, True])
def test_nothing_is_counted_at_padding(hmm, apart):
    ids, lengths = torch.randint(0, V, (3, 5)), [5, 2, 1]
    real = torch.arange(5) < torch.tensor(lengths)[:, None]
    mask = documents_apart(real.long() - 1) if apart else real
    counts = gradients(hmm, hmm.own_loss(ids, mask))
    torch.testing.assert_close(hmm.log_likelihood(ids, mask)[1], hmm.log_likelihood(ids[1:2, :2])[0])
    rows = [gradients(hmm, hmm.own_loss(ids[n : n + 1, :length])) for n, length in enumerate(lengths)]
    for one, *others in zip(counts, *rows, strict=True):
        torch.testing.assert_close(one, sum(others) / 3)


def test_half_precision_keeps_ids_exact():
    torch.manual_seed(0)
    hmm, ids = HMM(5000, S, kept=0.9, mask_id=MASK).eval(), torch.randint(5, 5000, (4, 9))
    half = copy.deepcopy(hmm).bfloat16()
    assert torch.equal(half(ids)[..., -1], ids.float())
    torch.testing.assert_close(half.own_head()(half(ids)), hmm.own_head()(hmm(ids)), atol=0.1, rtol=0)


def test_steps_of_em_on_one_batch_never_lower_its_likelihood(hmm):
    ids = torch.randint(0, V - 1, (16, 8))
    ids[:, 3] = MASK
    optimizer, values = em(hmm, lr=1.0, power=0.0, smoothing=0.0), []
    for _ in range(25):
        optimizer.zero_grad()
        hmm.own_loss(ids).backward()
        optimizer.step()
        values.append(hmm.log_likelihood(ids).mean().item())
    assert all(after >= before - 1e-9 for before, after in pairwise(values))
    assert values[-1] > values[0] + 0.1
    for table in (hmm.initial, hmm.transitions):
        torch.testing.assert_close(table.probabilities().sum(1).detach(), torch.ones(len(table.weight)).double())
    torch.testing.assert_close(hmm.embedding.probabilities().sum(0).detach(), torch.ones(S).double())


def test_em_recovers_the_likelihood_of_a_model_that_made_the_data():
    torch.manual_seed(1)
    initial, moves = torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    emissions = torch.tensor([[0.7, 0.2, 0.05, 0.05], [0.05, 0.05, 0.3, 0.6]])
    states, rows = initial.expand(600, 2).multinomial(1)[:, 0], []
    for _ in range(20):
        rows.append(emissions[states].multinomial(1)[:, 0])
        states = moves[states].multinomial(1)[:, 0]
    ids, unseen = torch.stack(rows, 1).split(400)
    true = forward_backward(emissions.T.log()[unseen], initial.log(), moves.log()).log_likelihood.mean()
    hmm = HMM(4, 2)
    optimizer = em(hmm, lr=1.0, power=0.6, smoothing=0.01)
    for step in range(80):
        optimizer.zero_grad()
        hmm.own_loss(ids.view(4, 100, 20)[step % 4]).backward()
        optimizer.step()
    found = hmm.log_likelihood(unseen).mean()
    assert abs(found - true) < 0.003 * abs(true)
    assert viterbi(hmm.embed(unseen)[..., :-1], hmm.initial.weight[0], hmm.transitions.weight)[0].shape == (200, 20)


def test_long_rows_and_impossible_tokens_stay_finite():
    torch.manual_seed(0)
    hmm = HMM(20, 4, initial_noise=30.0)  # nearly deterministic
    ids = torch.randint(0, 20, (2, 300))
    assert hmm.log_likelihood(ids).isfinite().all()
    assert hmm(ids).isfinite().all()
    hmm.own_loss(ids).backward()
    assert all(parameter.grad.isfinite().all() for parameter in hmm.parameters())
