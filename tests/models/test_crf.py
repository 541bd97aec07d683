"""The conditional random field, compared with sums over all sequences."""

from itertools import pairwise, product

import pytest
import torch

from maskwright.models.layers.crf import LinearChainCRF

NAMES = ["O", "B-A", "I-A", "B-B", "I-B"]


@pytest.fixture
def crf():
    torch.manual_seed(0)
    crf = LinearChainCRF(NAMES)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf


def legal(tags, opens=True) -> bool:
    before = "O" if opens else "anything"
    for tag in tags:
        name = NAMES[tag]
        if name.startswith("I-") and before != "anything" and before[2:] != name[2:]:
            return False
        before = name
    return True


def score(crf, emissions, tags, opens=True) -> float:
    total = (crf.begin[tags[0]] if opens else 0) + crf.end[tags[-1]]
    total = total + sum(emissions[k, tag] for k, tag in enumerate(tags))
    return total + sum(crf.transition[a, b] for a, b in pairwise(tags))


@pytest.mark.parametrize("opens", [True, False])
def test_loss_and_decoding_equal_those_over_all_sequences(crf, opens):
    lengths = [4, 1, 3]
    emissions = torch.randn(3, 4, len(NAMES))
    valid = torch.arange(4) < torch.tensor(lengths)[:, None]
    tags = torch.tensor([[1, 2, 0, 3], [3, 0, 0, 0], [0, 1, 2, 0]])
    expected, best = 0.0, []
    for row, length in enumerate(lengths):
        all_ = [tags for tags in product(range(len(NAMES)), repeat=length) if legal(tags, opens)]
        scores = torch.stack([score(crf, emissions[row], sequence, opens) for sequence in all_])
        expected += scores.logsumexp(0) - score(crf, emissions[row], tags[row, :length].tolist(), opens)
        best.append(list(all_[int(scores.argmax())]))
    begins = torch.full((3,), opens)
    assert crf.loss(emissions, tags, valid, begins).item() == pytest.approx(expected.item() / 8, rel=1e-5)
    decoded = crf.decode(emissions, valid, begins)
    assert [decoded[row, :length].tolist() for row, length in enumerate(lengths)] == best
    with torch.inference_mode():
        shares = crf.marginals(emissions.clone(), valid, begins)
    for row, length in enumerate(lengths):
        all_ = [tags for tags in product(range(len(NAMES)), repeat=length) if legal(tags, opens)]
        scores = torch.stack([score(crf, emissions[row], sequence, opens) for sequence in all_]).softmax(0)
        for k, tag in product(range(length), range(len(NAMES))):
            expected = sum(p.item() for p, sequence in zip(scores, all_, strict=True) if sequence[k] == tag)
            assert shares[row, k, tag].item() == pytest.approx(expected, abs=1e-5)


def test_an_inside_tag_without_its_predecessor_counts_as_a_begin_tag(crf):
    emissions, valid = torch.randn(1, 3, len(NAMES)), torch.ones(1, 3, dtype=torch.bool)
    opens = torch.tensor([True])
    lost, opening = torch.tensor([[2, 2, 4]]), torch.tensor([[1, 2, 3]])
    assert crf.loss(emissions, lost, valid, opens) == crf.loss(emissions, opening, valid, opens)
    assert crf.loss(emissions, lost, valid, ~opens) == crf.loss(emissions, torch.tensor([[2, 2, 3]]), valid, ~opens)


def test_gradients_are_finite_even_for_a_forbidden_sequence():
    """The sequence cannot be corrected, since there is no begin tag."""
    crf = LinearChainCRF(["O", "I-A"])
    emissions = torch.randn(1, 2, 2, requires_grad=True)
    loss = crf.loss(emissions, torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool), torch.ones(1) > 0)
    assert loss > 1000
    loss.backward()
    assert emissions.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in crf.parameters())
