"""Causal attention: no hidden state depends on a later token, alone or beside what other masks hide."""

import pytest
import torch

from maskwright.models import CNN, LSTM, MLP, Shifted, Transformer
from maskwright.models.layers import varlen_attention
from maskwright.models.layers.attention_mask import documents_apart
from maskwright.models.layers.causal import Causal
from maskwright.models.layers.varlen_attention import Sequences, sequence_ends
from tests.models.test_varlen_attention import by_hand

VOCABULARY, LENGTH = 60, 16
ADDITIONS = {"convolution": 2, "query_key_norm": True, "value_residual": True}
DOCUMENTS = torch.tensor([[0] * 5 + [1] * 8 + [-1] * 3, [0] * 16])
SEEN = torch.arange(LENGTH) < torch.tensor([[13], [16]])
MASKS = {
    "nothing else": None,
    "padding": SEEN,
    "documents": documents_apart(DOCUMENTS),
    "sequences": Sequences(torch.from_numpy(sequence_ends(DOCUMENTS.numpy())), LENGTH),
}


@pytest.fixture(autouse=True)
def _on_a_cpu(monkeypatch):
    monkeypatch.setattr(varlen_attention, "varlen_attn", by_hand)


def make(**settings):
    torch.manual_seed(0)
    encoder = Transformer(VOCABULARY, layers=3, hidden_size=32, heads=4, intermediate_size=48, **settings)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return encoder.eval()


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("additions", [{}, ADDITIONS], ids=["plain", "additions"])
@torch.no_grad()
def test_a_later_token_changes_nothing_before_it(additions, name):
    encoder, ids = make(**additions), torch.randint(VOCABULARY, (2, LENGTH))
    mask = MASKS[name]
    changed = ids.clone()
    changed[:, 9] = (ids[:, 9] + 1) % VOCABULARY
    before, after = (encoder(own, Causal(mask)) for own in (ids, changed))
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:13], after[:, 9:13])
    # without it, they see it
    assert not torch.allclose(encoder(ids, mask)[:, 6:9], encoder(changed, mask)[:, 6:9])


@pytest.mark.parametrize("name", MASKS)
@torch.no_grad()
def test_what_a_row_sees_is_what_both_masks_allow(name):
    """A position has the hidden state that it has in the shorter row, of its document, that ends with it."""
    encoder, ids = make(**ADDITIONS), torch.randint(VOCABULARY, (2, LENGTH))
    hidden = encoder(ids, Causal(MASKS[name]))
    for row, position in ((0, 2), (0, 4), (0, 7), (0, 12), (1, 15)):
        first = 5 if name in ("documents", "sequences") and row == 0 and position > 4 else 0
        alone = encoder(ids[row : row + 1, first : position + 1], Causal())[0, -1]
        assert torch.allclose(hidden[row, position], alone, atol=1e-5)


@pytest.mark.parametrize("name", MASKS)
@torch.no_grad()
def test_some_rows_of_a_batch_are_causal(name):
    encoder, ids = make(**ADDITIONS), torch.randint(VOCABULARY, (2, LENGTH))
    mask = MASKS[name]
    hidden = encoder(ids, Causal(mask, torch.tensor([True, False])))
    real = DOCUMENTS >= 0
    for row, expected in enumerate((encoder(ids, Causal(mask)), encoder(ids, mask))):
        assert torch.allclose(hidden[row][real[row]], expected[row][real[row]], atol=1e-5)


@pytest.mark.parametrize("rows", [None, torch.tensor([True, False])], ids=["all", "some"])
@pytest.mark.parametrize("name", MASKS)
def test_hidden_states_at_positions_equal_those_of_all_positions(name, rows):
    encoder, ids = make(**ADDITIONS), torch.randint(VOCABULARY, (2, LENGTH))
    mask, positions = Causal(MASKS[name], rows), torch.tensor([[3, 7, 0], [9, 1, 1]])
    index, found = positions[..., None].expand(-1, -1, 32), []
    for asked in (True, False):
        encoder.zero_grad()
        hidden = encoder(ids, mask, positions) if asked else encoder(ids, mask).gather(1, index)
        hidden.square().sum().backward()
        found.append((hidden.detach(), {n: p.grad.clone() for n, p in encoder.named_parameters()}))
    (ours, gradients), (expected, expected_gradients) = found
    assert torch.allclose(ours, expected, atol=1e-5)
    for parameter, gradient in gradients.items():  # there is one for each, also where a weight looks ahead
        assert torch.allclose(gradient, expected_gradients[parameter], rtol=1e-3, atol=1e-3), parameter


def test_a_plain_causal_mask_needs_no_tensor(monkeypatch):
    given = []
    attend = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *args, **kwargs: given.append((kwargs["attn_mask"], kwargs["is_causal"])) or attend(*args, **kwargs),
    )
    make()(torch.randint(VOCABULARY, (2, LENGTH)), Causal())
    assert given == [(None, True)] * 3


@pytest.mark.parametrize("kind", [CNN, LSTM, MLP])
def test_encoders_that_read_in_both_directions_refuse_the_mask(kind):
    encoder = kind(VOCABULARY, layers=1, hidden_size=32)
    assert not encoder.can_be_causal
    assert Transformer.can_be_causal
    with pytest.raises(ValueError, match="cannot read from left to right alone"):
        encoder(torch.randint(VOCABULARY, (1, 8)), Causal())


@pytest.mark.parametrize("causal", [False, True])
@torch.no_grad()
def test_shifted_states_are_those_of_the_position_before(causal):
    encoder, ids = make(**ADDITIONS), torch.randint(VOCABULARY, (2, LENGTH))
    shifted = Shifted(encoder, causal)
    expected = encoder(ids, Causal(SEEN) if causal else SEEN)
    found = shifted(ids, SEEN)
    assert torch.equal(found[:, 1:], expected[:, :-1])
    assert torch.equal(found[:, 0], expected[:, 0])
    positions = torch.tensor([[3, 7, 0], [9, 1, 1]])
    asked = shifted(ids, SEEN, positions)
    assert torch.allclose(asked, found.gather(1, positions[..., None].expand(-1, -1, 32)), atol=1e-5)
    in_two = shifted.encode(shifted.embed(ids, SEEN), SEEN, positions)
    assert torch.allclose(in_two, asked, atol=1e-6)
    assert [*shifted.parameter_depths()] == [name for name, _ in shifted.named_parameters()]
    assert shifted.layers_in_order() == encoder.layers_in_order()
