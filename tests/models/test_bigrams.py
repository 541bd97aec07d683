"""What counts say of the two neighbours of a token, as a part of the logits."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskwright.models import BigramHead, Transformer, WithNeighbours, bigrams, cooccurrence, masked_lm_head
from maskwright.models.cooccurrence import fill, neighbour_counts
from maskwright.models.layers.attention_mask import documents_apart
from maskwright.models.layers.causal import Causal

VOCABULARY, SPECIAL, SCALE, PRIOR = 30, np.arange(30) < 3, 0.6, 50


@pytest.fixture(autouse=True)
def little_text(monkeypatch):
    """Few occurrences by chance, since the texts here are short."""
    monkeypatch.setattr(cooccurrence, "_PRIOR", PRIOR)


@pytest.fixture(params=[0.0, 0.3, 1.0], ids=["rows", "both", "entries"])
def share_of_rows(request, monkeypatch):
    monkeypatch.setattr(bigrams, "_DENSE", request.param)


def text(rows, length, seed=0):
    """(B, T) ids, some of them much more often than others."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(rows, length, generator=generator) ** 3 * VOCABULARY).long()


def model(seed=0, counted=1.0):
    torch.manual_seed(seed)
    encoder = Transformer(
        VOCABULARY, layers=1, hidden_size=16, heads=2, intermediate_size=16, convolution=1, bigrams=SCALE
    )
    head = masked_lm_head(encoder, reads_neighbours=True)
    assert isinstance(head, BigramHead)
    fill(head.bigrams, neighbour_counts([text(40, 20)], VOCABULARY), SPECIAL, counted)
    return WithNeighbours(encoder), head


def surprise(left, right, without=None):
    """(V,) log (1 + c / (p u)) of what stands between two tokens, -1 for none, by a plain count.

    Args:
        without: a token whose occurrence between them, or so much of one, is not counted.
    """
    pairs = np.zeros((VOCABULARY, VOCABULARY))
    rows = text(40, 20).numpy()
    np.add.at(pairs, (rows[:, :-1], rows[:, 1:]), 1)
    often = pairs.sum(0) * ~SPECIAL
    chance = PRIOR * (often + 1) / (often.sum() + VOCABULARY)
    total = np.zeros(VOCABULARY)
    for counts, token in ((pairs, left), (pairs.T, right)):
        if token >= 0:
            own = counts[token].copy()
            if without is not None:
                own[without[0]] = max(own[without[0]] - without[1], 0)
            total += np.log1p(own / chance) * ~SPECIAL
    return torch.from_numpy(total).float()


@pytest.mark.usefixtures("share_of_rows")
def test_counts_are_added_to_the_logits_of_the_network():
    encoder, head = model()
    ids, positions = text(5, 9, seed=1), torch.tensor([[0, 4, 8]]).expand(5, -1)
    own = F.linear(head._transform(encoder.encoder(ids, None, positions)), head.decoder.weight, head.decoder.bias)
    logits = head(encoder(ids, None, positions))
    padded = F.pad(ids, (1, 1), value=-1)
    for row in range(5):
        for place, position in enumerate((0, 4, 8)):
            expected = own[row, place] + SCALE * surprise(
                int(padded[row, position]), int(padded[row, position + 2])
            )
            assert torch.allclose(logits[row, place], expected, atol=0.01)  # of the units
    assert torch.allclose(head(encoder(ids)).gather(1, positions[..., None].expand_as(logits)), logits, atol=1e-5)


@pytest.mark.usefixtures("share_of_rows")
@pytest.mark.parametrize("counted", [1.0, 0.5])
def test_training_takes_the_occurrence_itself_out_of_the_counts(counted):
    encoder, head = model(counted=counted)
    ids, positions = text(40, 20), torch.tensor([[5, 11]]).expand(40, -1)
    targets = ids.gather(1, positions).clamp(min=3)
    valid = torch.ones_like(targets, dtype=torch.bool)
    valid[3, 1] = False
    hidden = encoder(ids, None, positions)
    evaluated = head.eval().loss(hidden, targets, valid)
    logits = head(hidden)
    assert torch.allclose(evaluated[0], F.cross_entropy(logits[valid], targets[valid]), atol=1e-5)
    assert torch.equal(evaluated[1][valid], (logits.argmax(-1) == targets)[valid])
    for row in range(40):
        for place, position in enumerate((5, 11)):
            beside = int(ids[row, position - 1]), int(ids[row, position + 1])
            token = int(targets[row, place])
            changed = surprise(*beside, (token, counted))[token] - surprise(*beside)[token]
            logits[row, place, token] += SCALE * changed
    trained = head.train().loss(hidden, targets, valid)
    assert torch.allclose(trained[0], F.cross_entropy(logits[valid], targets[valid]), atol=5e-3)
    assert trained[0] > evaluated[0] + 0.1
    trained[0].backward()
    assert head.dense.weight.grad.abs().sum() > 0
    assert encoder.embedding.weight.grad.abs().sum() > 0


def test_only_neighbours_that_a_position_sees_say_something():
    encoder, _ = model()
    ids = torch.arange(3, 9)[None]

    def sides(mask):
        return encoder(ids, mask)[0, :, -2:].long().tolist()

    assert sides(None) == [[-1, 4], [3, 5], [4, 6], [5, 7], [6, 8], [7, -1]]
    real = torch.tensor([[True] * 4 + [False] * 2])
    assert sides(real)[:4] == [[-1, 4], [3, 5], [4, 6], [5, -1]]
    apart = documents_apart(torch.tensor([[0, 0, 1, 1, 1, -1]]))
    assert sides(apart)[:5] == [[-1, 4], [3, -1], [-1, 6], [5, 7], [6, -1]]
    with pytest.raises(ValueError, match="from left to right"):
        sides(Causal(None))
    assert torch.equal(encoder.encode(encoder.embed(ids)), encoder(ids))


@pytest.mark.usefixtures("share_of_rows")
def test_a_graph_adds_the_same():
    _, head = model()
    logits, neighbours = torch.randn(50, VOCABULARY), torch.randint(-1, VOCABULARY, (50, 2))
    traced = head.bigrams.traced(logits, neighbours)
    assert not torch.equal(traced, logits)
    head.bigrams.add(logits, neighbours)
    assert torch.allclose(traced, logits, atol=1e-5)
    empty = BigramHead(head.decoder, hidden_size=16, scale=SCALE).bigrams  # of a table without entries
    assert torch.equal(empty.traced(logits, neighbours), logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_counts_stay_exact_in_another_precision(dtype):
    encoder, head = model()
    ids = text(3, 9, seed=4)
    expected, around = head(encoder(ids)), bigrams.neighbours_of(ids, None)
    tables = {side: dict(getattr(head.bigrams, side).named_buffers()) for side in ("left", "right")}
    said = head.bigrams(around)
    encoder.to(dtype), head.to(dtype)
    logits = head(encoder(ids))
    assert logits.dtype == torch.promote_types(dtype, torch.float32)
    assert torch.allclose(logits.float(), expected, atol=0.1 if dtype == torch.bfloat16 else 1e-4)
    for side, table in tables.items():
        for name, buffer in getattr(head.bigrams, side).named_buffers():
            assert torch.equal(buffer, table[name])
    assert torch.equal(head.bigrams(around), said)
    if dtype == torch.float64:  # nothing between encoder and head is rounded to float32
        own = head.decoder(head._transform(encoder.encoder(ids)))
        assert torch.allclose(logits, own + head.bigrams(around), atol=1e-12)


def test_a_checkpoint_holds_the_counts():
    encoder, head = model()
    _, other = model(seed=1)
    fill(other.bigrams, neighbour_counts([text(3, 8, seed=2)], VOCABULARY), SPECIAL)
    other.load_state_dict(head.state_dict())
    new = BigramHead(encoder.embedding, hidden_size=16, scale=SCALE)
    new.load_state_dict(head.state_dict())
    hidden = encoder(text(4, 7, seed=3))
    for loaded in (other, new):
        # the embedding is that of another encoder in one of them
        loaded.decoder.weight = head.decoder.weight
        assert torch.equal(loaded(hidden), head(hidden))


def test_without_counts_the_logits_are_those_of_the_network():
    encoder, _ = model()
    new = BigramHead(encoder.embedding, hidden_size=16, scale=SCALE)
    hidden = encoder(text(4, 7))
    assert torch.equal(new(hidden), new.decoder(new._transform(hidden[..., :-2])))
    new.decoder.weight = torch.nn.Parameter(torch.randn(VOCABULARY + 3, 16))  # of more tokens than it knew
    new.decoder.bias = torch.nn.Parameter(torch.zeros(VOCABULARY + 3))
    hidden[..., -1] = VOCABULARY + 2
    targets = torch.full((4, 7), VOCABULARY + 2)
    loss, _ = new.loss(hidden, targets, torch.ones_like(targets, dtype=torch.bool))
    assert torch.allclose(loss, F.cross_entropy(new(hidden).flatten(0, 1), targets.flatten()), atol=1e-5)


def test_a_task_that_does_not_read_neighbours_has_a_plain_head():
    encoder = Transformer(VOCABULARY, layers=1, hidden_size=16, heads=2, intermediate_size=16, bigrams=SCALE)
    assert type(masked_lm_head(encoder)).__name__ == "MaskedLMHead"
