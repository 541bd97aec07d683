"""Properties of every encoder that is trained from scratch."""

import pytest
import torch

from maskwright.models import CNN, HMM, LSTM, MLP, Transformer
from maskwright.models.layers.pooling import Pool

ENCODERS = {
    "transformer": lambda: Transformer(50, 2, 16, 2, 24, convolution=2, query_key_norm=True, value_residual=True),
    "lstm": lambda: LSTM(50, 2, 16),
    "cnn": lambda: CNN(50, 3, 16),
    "mlp": lambda: MLP(50, 2, 16),
    "hmm": lambda: HMM(50, 15),
}


@pytest.fixture(params=ENCODERS, ids=str)
def encoder(request):
    torch.manual_seed(0)
    return ENCODERS[request.param]().eval()


def test_padding_does_not_change_hidden_states(encoder):
    ids = torch.randint(0, 50, (3, 9))
    seen = torch.arange(9) < torch.tensor([9, 4, 6])[:, None]
    hidden = encoder(ids, seen)
    assert hidden.shape == (3, 9, 16)
    for row, length in enumerate((9, 4, 6)):
        torch.testing.assert_close(hidden[row, :length], encoder(ids[row : row + 1, :length])[0])


def test_hidden_states_at_positions_equal_those_of_all_positions(encoder):
    ids, positions = torch.randint(0, 50, (2, 7)), torch.tensor([[0, 3, 6], [5, 1, 1]])
    whole = encoder(ids)
    expected = torch.stack([whole[row, at] for row, at in enumerate(positions)])
    torch.testing.assert_close(encoder(ids, None, positions), expected)


def test_hidden_states_depend_on_neighbours(encoder):
    ids = torch.randint(1, 50, (1, 7))
    other = ids.clone()
    other[0, 3] = 0
    assert not torch.allclose(encoder(ids)[0, 2], encoder(other)[0, 2])
    assert not torch.allclose(encoder(ids)[0, 4], encoder(other)[0, 4])


@pytest.mark.parametrize("kind", ["cls", "mean", "max", "attention"])
def test_pooling_ignores_padding(kind):
    torch.manual_seed(0)
    pool, hidden = Pool(8, kind), torch.randn(2, 5, 8)
    if pool.score is not None:
        torch.nn.init.normal_(pool.score.weight)
    seen = torch.arange(5) < torch.tensor([5, 2])[:, None]
    found = pool(hidden, seen)
    torch.testing.assert_close(found[0], pool(hidden[:1], None)[0])
    torch.testing.assert_close(found[1], pool(hidden[1:, :2], None)[0])
    expected = {"cls": hidden[1, 0], "mean": hidden[1, :2].mean(0), "max": hidden[1, :2].amax(0)}
    if kind in expected:
        torch.testing.assert_close(found[1], expected[kind])
