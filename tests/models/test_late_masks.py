"""Mask tokens that join the sequence before the last layers, compared with layers that are applied row by row."""

import pytest
import torch

from maskwright.models import Transformer
from maskwright.models.layers.attention_mask import documents_apart
from maskwright.models.layers.rotary import rotate
from maskwright.models.layers.varlen_attention import Sequences, sequence_ends

MASK, ADDITIONS = 3, {"convolution": 2, "query_key_norm": True, "value_residual": True}


def make(late_masks=2, layers=4, **settings) -> Transformer:
    torch.manual_seed(0)
    encoder = Transformer(30, layers, 16, 2, 24, **settings, late_masks=late_masks, mask_id=MASK).double()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return encoder.eval()


def rows(counts, length=12) -> torch.Tensor:
    """Ids of rows with so many mask tokens each, at random positions."""
    torch.manual_seed(1)
    ids = torch.randint(4, 30, (len(counts), length))
    for row, count in enumerate(counts):
        ids[row, torch.randperm(length - 2)[:count] + 1] = MASK
    return ids


def slowly(encoder: Transformer, row: torch.Tensor, seen=None) -> torch.Tensor:
    """Hidden states (T, H) of one row (T,): the lower layers read its other tokens, one attention for each position.

    Args:
        seen: (T, T) bool, which positions each may attend to; None for all.
    """
    length = len(row)
    seen = torch.ones(length, length, dtype=torch.bool) if seen is None else seen
    angles = encoder._rotary(length, row.device)
    embedded = encoder.embedding_norm(encoder.embedding(row))
    hidden = embedded.clone()
    if encoder.convolution is not None:
        reach = encoder.convolution.reach
        offsets = [*range(-reach, 0), *range(1, reach + 1)]
        for t in range(length):
            for weight, offset in zip(encoder.convolution.weights, offsets, strict=True):
                if 0 <= t + offset < length and row[t + offset] != MASK and seen[t, t + offset]:
                    hidden = hidden.index_add(
                        0, torch.tensor([t]), (weight * embedded[t + offset])[None].to(hidden.dtype)
                    )
    visible = [t for t in range(length) if row[t] != MASK]
    states = list(hidden)
    first_values = [encoder.layers[0].value(state[None, None])[0, 0] for state in states]
    for number, layer in enumerate(encoder.layers):
        late = number >= len(encoder.layers) - encoder.late_masks
        there = list(range(length)) if late or not encoder.late_masks else visible
        attention, after = layer.attention, list(states)
        project = {t: attention._project(layer.attention_norm(states[t])[None, None], None) for t in there}
        for t in there:
            keys = [other for other in there if seen[t, other]]
            query, values = project[t][0], []
            if attention.query_key_norm:
                query = torch.nn.functional.rms_norm(query, query.shape[-1:])
            scores = []
            turned = rotate(query, (angles[0][t : t + 1], angles[1][t : t + 1]))[0, 0]
            for other in keys:
                key, value = project[other][1], project[other][2][0, 0]
                if attention.query_key_norm:
                    key = torch.nn.functional.rms_norm(key, key.shape[-1:])
                key = rotate(key, (angles[0][other : other + 1], angles[1][other : other + 1]))[0, 0]
                if attention.first_share is not None:
                    value = value.lerp(first_values[other], attention.first_share)
                scores.append((turned * key).sum(-1) / turned.shape[-1] ** 0.5)
                values.append(value)
            weights = torch.stack(scores).softmax(0)
            mixed = (weights[..., None] * torch.stack(values)).sum(0)
            state = states[t] + attention.output(mixed.flatten())
            after[t] = state + layer.feed_forward(layer.feed_forward_norm(state))
        states = after
    return encoder.final_norm(torch.stack(states))


@pytest.mark.parametrize("counts", [(3, 3), (0, 4, 2), (0, 0)], ids=str)
@pytest.mark.parametrize("additions", [{}, ADDITIONS], ids=["modernbert", "additions"])
def test_hidden_states_and_gradients_are_those_of_the_visible_tokens_alone(counts, additions):
    encoder, ids = make(**additions), rows(counts)
    found = encoder(ids)
    expected = torch.stack([slowly(encoder, row) for row in ids])
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(found)
    one, two = (
        torch.autograd.grad((hidden * weight).sum(), list(encoder.parameters())) for hidden in (found, expected)
    )
    for own, other in zip(one, two, strict=True):
        torch.testing.assert_close(own, other)


def test_the_mask_tokens_change_nothing_below_the_layers_that_read_them():
    """One row has a mask token more, in a layer of its own they would be seen."""
    encoder = make(late_masks=1, layers=2, **ADDITIONS)
    seen = []
    encoder.layers[0].register_forward_hook(lambda module, inputs, output: seen.append(output[0]))
    ids = rows((3,))
    encoder(ids)
    encoder.embedding.weight.data[MASK] += 1
    encoder(ids)
    assert seen[0].shape == (1, 12 - 3, 16)
    torch.testing.assert_close(seen[0], seen[1], rtol=0, atol=0)


def test_padding_documents_and_positions():
    encoder, ids = make(**ADDITIONS), rows((3, 1, 4))
    lengths = torch.tensor([12, 7, 10])
    real = torch.arange(12) < lengths[:, None]
    documents = torch.tensor([[0] * 5 + [1] * 7, [0] * 3 + [1] * 9, [0] * 12]).masked_fill(~real, -1)
    at = torch.tensor([[1, 4, 11], [2, 3, 6], [9, 0, 5]])
    for mask in (real, documents_apart(documents)):
        found = encoder(ids, mask)
        for row, length in enumerate(lengths):
            seen = mask[row, None].expand(12, 12) if mask.ndim == 2 else mask[row]
            expected = slowly(encoder, ids[row, :length], seen[:length, :length])
            torch.testing.assert_close(found[row, :length], expected)
        chosen = encoder(ids, mask, at)
        torch.testing.assert_close(chosen, torch.stack([found[row, at[row]] for row in range(3)]))


def test_sequences_of_flash_attention_are_read_as_documents_apart():
    from maskwright.models.transformer import late_masks

    documents = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1]])
    sequences = Sequences(torch.from_numpy(sequence_ends(documents.numpy())), 6)
    read = torch.tensor([[0, 2, 3, 5], [0, 1, 4, 2]])
    valid = torch.tensor([[True] * 4, [True, True, True, False]])
    apart = documents_apart(documents)[:, None]
    for own in (None, valid):
        expected = late_masks._gathered(apart, read, own, 2)
        assert torch.equal(late_masks._gathered(sequences, read, own, 2), expected)


@pytest.mark.parametrize("late_masks", [0, None, 4])
def test_all_layers_are_the_plain_encoder(late_masks):
    plain = make(late_masks=0, **ADDITIONS)
    encoder, ids = make(late_masks=late_masks, **ADDITIONS), rows((3, 2))
    assert torch.equal(encoder(ids), plain(ids))
    assert not torch.equal(make(late_masks=1, **ADDITIONS)(ids), plain(ids))


def test_rows_without_mask_tokens_are_read_as_by_the_plain_encoder():
    ids = rows((0, 0))
    assert torch.equal(make(**ADDITIONS)(ids), make(late_masks=0, **ADDITIONS)(ids))


def test_rows_of_mask_tokens_alone_have_finite_states():
    encoder = make(**ADDITIONS)
    for ids in (torch.full((2, 5), MASK), torch.tensor([[MASK] * 5, [MASK, 4, MASK, MASK, MASK]])):
        assert encoder(ids).isfinite().all()


def test_in_place_equals_packed_and_attention_weights_hide_mask_tokens_below():
    encoder, ids = make(**ADDITIONS), rows((3, 1))
    late, embedded = ids == MASK, encoder.embed(ids)
    torch.testing.assert_close(encoder._encode(embedded, late=late, packed=False), encoder(ids))
    weights = encoder.attention_weights(ids)
    assert [own.shape for own in weights] == [(2, 2, 12, 12)] * 4
    hidden = late[:, None, None].expand(2, 2, 12, 12)
    assert all((own[hidden] == 0).all() for own in weights[:2])
    assert all((own[hidden] > 0).all() for own in weights[2:])


def test_more_late_layers_than_there_are_is_refused():
    with pytest.raises(
        ValueError, match="late_masks=5 layers are to read mask tokens, but there are only layers=4"
    ):
        make(late_masks=5)
