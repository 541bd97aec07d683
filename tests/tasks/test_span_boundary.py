"""The span boundary objective: where spans begin and end, and a loss that equals a slow loop."""

import pytest
import torch

from maskwright.masking import Constant, Corruption, Masker, Tokens, Uniform, Vocabulary
from maskwright.models import MaskedLMHead, Transformer
from maskwright.tasks import SpanBoundary
from maskwright.tasks.span_boundary import find_spans
from tests.tasks.test_mlm import VOCABULARY, make_batch


def make(ratio=0.5, **settings) -> SpanBoundary:
    torch.manual_seed(0)
    encoder = Transformer(VOCABULARY, 2, 16, 2, 24)
    vocabulary = Vocabulary(VOCABULARY, 4, range(5, VOCABULARY))
    masker = Masker(Tokens(), Uniform(), Constant(ratio), Corruption(0.8, 0.1, 0.1), vocabulary, seed=0)
    return SpanBoundary(
        head_settings={"norm_epsilon": 1e-5},
        head=MaskedLMHead(encoder.embedding),
        masker=masker,
        evaluation_masker=masker,
        encoder=encoder,
        optimizer=None,
        schedule=None,
        seed=0,
        **settings,
    )


def spans_of(row: str, documents: str | None = None, longest: int = 20):
    """The spans of a row in which `x` is masked; documents are digits, and `-` is padding.

    Returns for each masked position that is predicted from both sides: itself, before, after, and its offset.
    """
    numbers = [-1 if character == "-" else int(character) for character in documents or "0" * len(row)]
    positions = [at for at, character in enumerate(row) if character == "x"]
    padded = torch.tensor([[*positions, 0, 0]])
    valid = torch.tensor([[True] * len(positions) + [False] * 2])
    found = find_spans(padded, valid, torch.tensor([numbers]), longest)
    columns = zip(padded[0], *(column[0] for column in found), strict=True)
    return [(int(at), int(a), int(b), int(o)) for at, a, b, o, own in columns if own]


def test_spans_by_hand():
    assert spans_of("..xx.x..") == [(2, 1, 4, 0), (3, 1, 4, 1), (5, 4, 6, 0)]
    assert spans_of(".xxxx.", longest=2) == [(1, 0, 5, 0), (2, 0, 5, 1)]


def test_spans_at_the_edge_of_a_row_are_not_predicted_from_their_sides():
    assert spans_of("xx.x.xx") == [(3, 2, 4, 0)]
    assert spans_of("xxx") == []
    assert spans_of("...") == []


def test_spans_end_with_their_document():
    # the run is two spans, each of which lacks a side in its document
    assert spans_of(".xxxx.", "000111") == []
    # a span before or after the edge of a document lacks a side; one inside has both
    assert spans_of(".x.x.", "00111") == [(3, 2, 4, 0)]
    assert spans_of(".x.x.x", "000111") == [(1, 0, 2, 0)]
    assert spans_of(".xx---", "000---") == []
    assert spans_of(".xx.--", "0000--") == [(1, 0, 3, 0), (2, 0, 3, 1)]


@pytest.mark.parametrize("longest", [2, 20])
def test_the_loss_equals_a_slow_loop(longest):
    task = make(longest_span=longest)
    batch = make_batch([[-1, *range(20), -1], [-1, *range(9), *[-1] * 12]])
    batch["documents"][0, 11:] = 1
    masked = task.masker(batch)
    hidden, head, losses = task.encoder(masked.input_ids), task.boundary_head, []
    for row in range(2):
        chosen = masked.positions[row][masked.valid[row]].tolist()
        for at in chosen:
            document = batch["documents"][row, at]
            first = last = at
            while first - 1 in chosen and batch["documents"][row, first - 1] == document:
                first -= 1
            while last + 1 in chosen and batch["documents"][row, last + 1] == document:
                last += 1
            sides = [side for side in (first - 1, last + 1) if 0 <= side < 22]
            same = [side for side in sides if batch["documents"][row, side] == document]
            if len(same) < 2 or at - first >= longest:
                continue
            both = torch.cat([hidden[row, first - 1], hidden[row, last + 1], head.offsets.weight[at - first]])
            inner = head.first_norm(torch.nn.functional.gelu(head.first_dense(both)))
            outer = head.norm(torch.nn.functional.gelu(head.dense(inner)))
            logits = outer @ task.encoder.embedding.weight.T + head.decoder.bias
            losses.append(-logits.log_softmax(0)[batch["input_ids"][row, at]])
    _, (loss, _, count) = task._losses(batch, masked)
    assert count == len(losses) > 5
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    one, two = (
        torch.autograd.grad(own, list(task.encoder.parameters())) for own in (loss, torch.stack(losses).mean())
    )
    for own, other in zip(one, two, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


def test_masked_tokens_have_the_loss_of_masked_language_modelling():
    task, batch = make(), make_batch([[-1, *range(20), -1]])
    masked = task.masker(batch)
    (loss, _, count), _ = task._losses(batch, masked)
    expected, _, number = task.loss(batch, masked)
    torch.testing.assert_close(loss, expected)
    assert count == number == 10


def test_a_row_without_spans_has_loss_and_gradients_of_zero():
    task, batch = make(ratio=1.0), make_batch([[0, 1, 2, 3]])
    _, (loss, _, count) = task._losses(batch, task.masker(batch))
    assert loss == count == 0
    loss.backward()
    gradients = [p.grad for p in task.boundary_head.parameters() if p.grad is not None]
    assert gradients
    assert all((gradient == 0).all() for gradient in gradients)
