"""Documents that share a row, kept apart: flash attention over sequences, masks, and the convolution agree."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskwright.models import Transformer
from maskwright.models.layers import varlen_attention as documents
from maskwright.models.layers.causal import Causal
from maskwright.models.layers.varlen_attention import Sequences, sequence_ends

ADDITIONS = {"convolution": 2, "query_key_norm": True, "value_residual": True}
DOCUMENTS = np.array([[0] * 5 + [1] * 7 + [-1] * 4, [0] * 16, [0, 1, 1, 2] + [3] * 12])


def by_hand(query, key, value, ends_q, ends_k, longest_q, longest_k, window_size):
    """Computes what `varlen_attn` computes on GPUs, sequence by sequence."""
    assert torch.equal(ends_q, ends_k)
    out = torch.full_like(query, float("nan"))
    for first, last in zip(ends_q[:-1].tolist(), ends_q[1:].tolist(), strict=True):
        assert last - first <= longest_q == longest_k
        if last > first:
            q, k, v = (x[first:last].transpose(0, 1) for x in (query, key, value))
            out[first:last] = F.scaled_dot_product_attention(q, k, v, is_causal=window_size[1] == 0).transpose(0, 1)
    return out


def encoder():
    torch.manual_seed(0)
    model = Transformer(60, layers=2, hidden_size=32, heads=4, intermediate_size=48, **ADDITIONS)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_ends_are_cumulative_lengths_padded_with_empty_sequences():
    ends = sequence_ends(DOCUMENTS)
    assert ends.dtype == np.int32
    assert len(ends) == 64
    assert ends[:10].tolist() == [0, 5, 12, 16, 32, 33, 35, 36, 48, 48]
    assert (ends[8:] == 48).all()


@pytest.mark.parametrize("causal", [False, True])
def test_sequences_and_masks_give_the_same_hidden_states_and_gradients(monkeypatch, causal):
    monkeypatch.setattr(documents, "varlen_attn", by_hand)
    model = encoder()
    input_ids = torch.randint(60, DOCUMENTS.shape)
    numbers = torch.from_numpy(DOCUMENTS)
    found = {}
    for name, mask in {
        "mask": numbers[:, :, None] == numbers[:, None, :],
        "sequences": Sequences(torch.from_numpy(sequence_ends(DOCUMENTS)), DOCUMENTS.shape[1]),
    }.items():
        mask = Causal(mask) if causal else mask
        model.zero_grad()
        hidden = model(input_ids, mask)
        hidden.square().sum().backward()
        found[name] = hidden.detach(), {n: p.grad.clone() for n, p in model.named_parameters()}
    assert torch.allclose(found["mask"][0], found["sequences"][0], atol=1e-5)
    for name, gradient in found["mask"][1].items():
        assert torch.allclose(gradient, found["sequences"][1][name], rtol=1e-3, atol=1e-3), name


@pytest.mark.parametrize("document", [0, 1])
def test_each_document_is_encoded_as_if_it_were_alone_at_its_positions(document):
    model = encoder().eval()
    input_ids = torch.randint(60, (1, 16))
    numbers = torch.tensor([[0] * 9 + [1] * 7])
    apart = numbers[:, :, None] == numbers[:, None, :]
    inside = (numbers == document)[0]
    alone = model(input_ids[:, inside])  # rotary positions are relative
    assert torch.allclose(model(input_ids, apart)[:, inside], alone, atol=1e-5)


def test_padding_does_not_reach_the_convolution():
    model = encoder().eval()
    input_ids = torch.randint(60, (2, 16))
    mask = torch.arange(16) < torch.tensor([[16], [11]])
    alone = model(input_ids[1:, :11])
    assert torch.allclose(model(input_ids, mask)[1:, :11], alone, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_flash_attention_on_a_gpu_equals_masked_attention():
    model = encoder().cuda()
    input_ids = torch.randint(60, DOCUMENTS.shape, device="cuda")
    numbers = torch.from_numpy(DOCUMENTS).cuda()
    found = []
    for mask in (
        numbers[:, :, None] == numbers[:, None, :],
        Sequences(torch.from_numpy(sequence_ends(DOCUMENTS)).cuda(), DOCUMENTS.shape[1]),
    ):
        model.zero_grad()
        with torch.autocast("cuda", torch.bfloat16):
            hidden = model(input_ids, mask)
        hidden.float().square().sum().backward()
        found.append((hidden.detach().float(), model.layers[0].attention.query_key_value.weight.grad.clone()))
    for masked, flash in zip(*found, strict=True):
        assert (masked - flash).norm() < 0.02 * masked.norm()
