import torch
import torch.nn.functional as F

from maskwright.models.layers.convolution import Convolution


def test_starts_as_the_identity():
    hidden = torch.randn(2, 9, 6)
    assert torch.equal(Convolution(6, 3)(hidden, None), hidden)


def test_is_a_depthwise_convolution_added_to_its_input():
    torch.manual_seed(0)
    module = Convolution(6, 2)
    for weight in module.weights:
        torch.nn.init.normal_(weight)
    hidden = torch.randn(3, 11, 6)
    before, after = torch.stack(list(module.weights)).split(2)
    kernel = torch.cat((before, torch.zeros(1, 6), after)).T[:, None]
    expected = hidden + F.conv1d(hidden.transpose(1, 2), kernel, padding=2, groups=6).transpose(1, 2)
    assert torch.allclose(module(hidden, None), expected, atol=1e-5)


def test_rows_may_be_shorter_than_the_reach():
    module = Convolution(4, 3)
    for weight in module.weights:
        torch.nn.init.ones_(weight)
    hidden = torch.ones(1, 2, 4)
    for mask in (None, torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 2, 2, dtype=torch.bool)):
        assert torch.equal(module(hidden, mask), torch.full((1, 2, 4), 2.0))
