"""Weights of an encoder from which tokens stand side by side."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskwright.models import MaskedLMHead, Transformer
from maskwright.models.cooccurrence import factors, neighbour_counts, start_from_counts

MASK, VOCABULARY = 39, 40


def chain(rows, length, successors=3, seed=0):
    """(B, T) tokens, each of which has few successors."""
    generator = torch.Generator().manual_seed(seed)
    follows = torch.rand(VOCABULARY - 1, VOCABULARY - 1, generator=torch.Generator().manual_seed(0))
    follows = follows.topk(successors).indices
    ids = torch.randint(VOCABULARY - 1, (rows, length), generator=generator)
    for column in range(1, length):
        ids[:, column] = follows[ids[:, column - 1], torch.randint(successors, (rows,), generator=generator)]
    return ids


def test_neighbours_are_counted_across_parts_and_not_at_padding():
    parts = [torch.tensor([[1, 2, 1, 2], [2, 1, -1, -1]]), torch.tensor([[1, 2], [3, 3]])]
    counts = neighbour_counts(parts, 5).toarray()
    expected = torch.zeros(5, 5)
    expected[1, 2], expected[2, 1], expected[3, 3] = 3, 2, 1
    assert torch.equal(torch.from_numpy(counts), expected)


def test_nothing_to_count():
    counts = neighbour_counts([torch.tensor([[3], [2]])], 5)
    encoder = Transformer(5, layers=1, hidden_size=8, heads=2, intermediate_size=8, convolution=1)
    before = encoder.embedding.weight.clone()
    start_from_counts(encoder, None, counts)
    assert torch.equal(encoder.embedding.weight, before)


@pytest.mark.parametrize("dense", [True, False])
def test_the_factors_are_those_of_the_surprise_of_pairs(dense):
    """Where the rank is that of the matrix, its entries come out one by one."""
    counts = neighbour_counts([chain(200, 30, successors=38 if dense else 3)], VOCABULARY)
    left, right = factors(counts, VOCABULARY)
    count = torch.from_numpy(counts.toarray()).double()
    first, second = count.sum(1, keepdim=True), count.sum(0)
    share = (second + 1) / (second.sum() + VOCABULARY)
    expected = ((count + 1000 * share) / ((first + 1000) * share)).log()
    expected[MASK] = expected[:, MASK] = 0  # not counted
    assert torch.allclose((left @ right.T).double(), expected, atol=1e-3)


@pytest.mark.parametrize("convolution", [1, 2])
def test_a_new_encoder_predicts_from_neighbours_before_its_first_step(convolution):
    torch.manual_seed(0)
    encoder = Transformer(
        VOCABULARY, layers=2, hidden_size=64, heads=2, intermediate_size=64, convolution=convolution
    ).eval()
    head = MaskedLMHead(encoder.embedding)
    start_from_counts(encoder, head, neighbour_counts([chain(400, 64)], VOCABULARY))
    ids = chain(100, 9, seed=1)
    masked, positions = ids.clone(), torch.full((100, 1), 4)
    masked[:, 4] = MASK
    with torch.no_grad():
        loss = F.cross_entropy(head(encoder(masked, positions=positions))[:, 0], ids[:, 4])
    share = chain(400, 64).flatten().bincount(minlength=VOCABULARY).float()
    unigram = -(share[ids[:, 4]] / share.sum()).log().mean()
    assert unigram > 3.3  # of at most log 39
    assert loss < 0.6 * unigram
    assert loss > math.log(3) / 2


def test_special_tokens_are_as_unlikely_as_those_that_were_not_counted():
    encoder = Transformer(VOCABULARY, layers=1, hidden_size=16, heads=2, intermediate_size=32, convolution=1)
    head, special = MaskedLMHead(encoder.embedding), np.arange(VOCABULARY) == 3
    start_from_counts(encoder, head, neighbour_counts([chain(50, 30)], VOCABULARY), special)
    assert head.decoder.bias[3] == head.decoder.bias[MASK] < head.decoder.bias[4]


def test_the_same_counts_make_the_same_weights():
    def weights():
        encoder = Transformer(VOCABULARY, layers=1, hidden_size=32, heads=2, intermediate_size=32, convolution=1)
        start_from_counts(encoder, None, neighbour_counts([chain(50, 30)], VOCABULARY))
        return encoder.embedding.weight

    first = weights()
    torch.manual_seed(7)
    assert torch.equal(first, weights())


def test_a_small_vocabulary_leaves_channels_empty_and_finite():
    encoder = Transformer(VOCABULARY, layers=1, hidden_size=128, heads=2, intermediate_size=32, convolution=0)
    head = MaskedLMHead(encoder.embedding)
    start_from_counts(encoder, head, neighbour_counts([chain(50, 30)], VOCABULARY))
    assert encoder.embedding.weight[:, 45:64].eq(0).all()
    assert encoder.embedding.weight.abs().amax(1).gt(0).all()
    assert head(encoder(chain(2, 8))).isfinite().all()
