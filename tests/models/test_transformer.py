import pytest
import torch
from transformers import ModernBertConfig, ModernBertForMaskedLM

from maskwright.models import MaskedLMHead, Transformer
from maskwright.models.layers.attention_mask import documents_apart
from maskwright.models.transformer.hf import from_hf, hf_config, to_hf

VOCABULARY = 97


@pytest.fixture
def models():
    """An encoder, a head and a ModernBertForMaskedLM of the same random weights."""
    torch.manual_seed(0)
    encoder = Transformer(VOCABULARY, layers=3, hidden_size=48, heads=4, intermediate_size=80, rotary_base=500.0)
    head = MaskedLMHead(encoder.embedding)
    state = {}
    for part, module in (("encoder", encoder), ("head", head)):
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.3)  # far from zero, where every term matters
        state |= {f"{part}.{name}": tensor for name, tensor in module.state_dict().items()}
    config = ModernBertConfig(**hf_config(encoder), pad_token_id=0, attn_implementation="sdpa")
    theirs = ModernBertForMaskedLM(config).eval()
    missing, unexpected = theirs.load_state_dict(to_hf(state), strict=False)
    assert not unexpected
    assert not missing
    back = from_hf(theirs.state_dict())
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in state.items())
    return encoder.eval(), head.eval(), theirs


@torch.no_grad()
def test_logits_equal_modernbert(models):
    encoder, head, theirs = models
    input_ids = torch.randint(VOCABULARY, (3, 41))
    ours = head(encoder(input_ids))
    expected = theirs(input_ids=input_ids).logits
    assert expected.std() > 0.1
    assert (ours - expected).abs().max() < 1e-4


@torch.no_grad()
def test_padded_logits_equal_modernbert(models):
    encoder, head, theirs = models
    input_ids = torch.randint(VOCABULARY, (2, 20))
    seen = torch.arange(20) < torch.tensor([[20], [13]])
    ours = head(encoder(input_ids, seen))
    expected = theirs(input_ids=input_ids, attention_mask=seen.long()).logits
    assert (ours - expected).abs()[seen].max() < 1e-4


@torch.no_grad()
def test_documents_kept_apart_do_not_influence_each_other(models):
    encoder, _, _ = models
    input_ids = torch.randint(VOCABULARY, (1, 20))
    apart = documents_apart(torch.tensor([[0] * 12 + [1] * 8]))
    before = encoder(input_ids, apart)
    input_ids[0, :12] = torch.randint(VOCABULARY, (12,))
    after = encoder(input_ids, apart)
    assert torch.equal(before[0, 12:], after[0, 12:])
    assert not torch.allclose(before[0, :12], after[0, :12])


ADDITIONS = {"convolution": 2, "query_key_norm": True, "value_residual": True}


@pytest.mark.parametrize("additions", [{}, ADDITIONS], ids=["plain", "additions"])
@pytest.mark.parametrize("attend", ["all", "padding", "documents"])
def test_hidden_states_at_positions_equal_those_of_all_positions(attend, additions):
    torch.manual_seed(1)
    encoder = Transformer(VOCABULARY, layers=3, hidden_size=48, heads=4, intermediate_size=80, **additions)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    input_ids = torch.randint(VOCABULARY, (2, 20))
    positions = torch.tensor([[3, 7, 0], [9, 1, 1]])
    documents = torch.tensor([[0] * 9 + [1] * 11, [0] * 15 + [1] * 5])
    mask = {
        "all": None,
        "padding": torch.arange(20) < torch.tensor([[20], [13]]),
        "documents": documents_apart(documents),
    }[attend]
    index = positions[..., None].expand(-1, -1, 48)
    found = []
    for asked in (True, False):
        encoder.zero_grad()
        hidden = encoder(input_ids, mask, positions) if asked else encoder(input_ids, mask).gather(1, index)
        hidden.square().sum().backward()
        found.append((hidden.detach(), {name: p.grad.clone() for name, p in encoder.named_parameters()}))
    (ours, gradients), (expected, expected_gradients) = found
    assert ours.shape == (2, 3, 48)
    assert torch.allclose(ours, expected, atol=1e-5)
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, expected_gradients[name], rtol=1e-3, atol=1e-3), name


@pytest.mark.parametrize("addition", ADDITIONS)
def test_settings_that_modernbert_does_not_have_are_reported(addition):
    encoder = Transformer(VOCABULARY, 2, 48, 4, 80, **{addition: ADDITIONS[addition]})
    with pytest.raises(ValueError, match=f"only a model trained with model.{addition}=(0|false) can be converted"):
        hf_config(encoder)


def test_values_are_mixed_with_those_of_the_first_layer():
    torch.manual_seed(1)
    encoder = Transformer(VOCABULARY, layers=3, hidden_size=48, heads=4, intermediate_size=80, value_residual=True)
    plain = Transformer(VOCABULARY, layers=3, hidden_size=48, heads=4, intermediate_size=80)
    plain.load_state_dict(encoder.state_dict(), strict=False)
    input_ids = torch.randint(VOCABULARY, (2, 20))
    assert not torch.allclose(encoder(input_ids), plain(input_ids), atol=1e-4)
    for layer in encoder.layers[1:]:
        torch.nn.init.zeros_(layer.attention.first_share)
    assert torch.allclose(encoder(input_ids), plain(input_ids), atol=1e-6)


def test_normalised_queries_and_keys_do_not_depend_on_their_scale():
    torch.manual_seed(1)
    encoder = Transformer(VOCABULARY, layers=1, hidden_size=48, heads=4, intermediate_size=80, query_key_norm=True)
    input_ids = torch.randint(VOCABULARY, (2, 20))
    before = encoder(input_ids)
    with torch.no_grad():
        encoder.layers[0].attention.query_key_value.weight[: 2 * 48] *= 7
    assert torch.allclose(encoder(input_ids), before, atol=1e-4)


def test_the_head_shares_the_embedding(models):
    encoder, head, _ = models
    assert head(torch.randn(2, 3, 48)).shape == (2, 3, VOCABULARY)
    assert head.decoder.weight is encoder.embedding.weight


def test_dropout_is_active_in_training_only():
    encoder = Transformer(VOCABULARY, 1, 16, 2, 16, dropout=0.5)
    input_ids = torch.randint(VOCABULARY, (2, 8))
    assert not torch.equal(encoder(input_ids), encoder(input_ids))
    encoder.eval()
    assert torch.equal(encoder(input_ids), encoder(input_ids))


@torch.no_grad()
def test_positions_are_counted_anew_where_the_type_of_tokens_changes():
    """The distance of a token of one text to one of the other does not depend on what is between them."""
    torch.manual_seed(0)
    encoder = Transformer(50, 2, 16, 2, 24, token_types=2, restart_positions=True).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    first, second = torch.randint(50, (1, 6)), torch.randint(50, (1, 5))
    hidden = []
    for between in (0, 3):  # padding that nobody sees
        ids = torch.cat([first, torch.zeros(1, between, dtype=torch.long), second], dim=1)
        types = torch.tensor([[0] * (6 + between) + [1] * 5])
        seen = torch.tensor([[True] * 6 + [False] * between + [True] * 5])
        whole = encoder(ids, seen, None, types)
        hidden.append(whole[seen])
        positions = torch.tensor([[0, ids.shape[1] - 2]])
        torch.testing.assert_close(encoder(ids, seen, positions, types), whole[:, positions[0]])
        assert not torch.allclose(encoder(ids, seen), whole)
    torch.testing.assert_close(*hidden)
    # by default they are counted over the whole row
    torch.testing.assert_close(encoder(ids), Transformer.encode(encoder, encoder.embed(ids)))


@torch.no_grad()
def test_types_of_tokens_are_added_to_their_embeddings():
    torch.manual_seed(0)
    encoder = Transformer(50, 1, 16, 2, 24, token_types=2).eval()
    ids, types = torch.randint(50, (2, 7)), torch.randint(2, (2, 7))
    expected = encoder.embedding_norm(encoder.embedding(ids) + encoder.type_embedding(types))
    torch.testing.assert_close(encoder.embed(ids, None, types), expected)
    torch.testing.assert_close(encoder(ids), encoder(ids, None, None, torch.zeros_like(ids)))
    assert encoder.parameter_depths()["type_embedding.weight"] == 0
    with pytest.raises(ValueError, match="token_types=0 can be converted"):
        hf_config(encoder)
