import torch
from torch import nn

from maskwright.models import MaskedLMHead, Transformer
from maskwright.models.flops import forward_flops, matmul_rate

LAYERS, HIDDEN, INTERMEDIATE, VOCABULARY = 3, 32, 48, 70


def test_flops_of_a_transformer_are_those_of_its_products():
    encoder = Transformer(VOCABULARY, LAYERS, HIDDEN, heads=4, intermediate_size=INTERMEDIATE)
    rows, length = 2, 10
    matrices = LAYERS * (4 * HIDDEN**2 + 3 * HIDDEN * INTERMEDIATE)
    attention = LAYERS * 2 * length * HIDDEN  # each position's queries with all keys, and weights with values
    expected = 2 * rows * length * (matrices + attention)
    assert forward_flops(encoder, torch.zeros(rows, length, dtype=torch.long)) == expected


def test_flops_of_the_last_layer_are_counted_only_at_positions():
    encoder = Transformer(VOCABULARY, LAYERS, HIDDEN, heads=4, intermediate_size=INTERMEDIATE)
    rows, length, asked = 2, 10, 3
    whole = forward_flops(encoder, torch.zeros(rows, length, dtype=torch.long))
    part = forward_flops(
        encoder, torch.zeros(rows, length, dtype=torch.long), None, torch.zeros(rows, asked, dtype=torch.long)
    )
    each = 2 * HIDDEN**2 + 3 * HIDDEN * INTERMEDIATE + 2 * length * HIDDEN  # all but keys and values
    assert whole - part == 2 * rows * (length - asked) * each


def test_flops_of_a_head_are_counted_only_at_positions():
    head = MaskedLMHead(nn.Embedding(VOCABULARY, HIDDEN))
    flops = forward_flops(head, torch.zeros(2, 3, HIDDEN))
    assert flops == 2 * 2 * 3 * (HIDDEN**2 + HIDDEN * VOCABULARY)


def test_counting_flops_does_not_change_the_module():
    encoder = Transformer(VOCABULARY, LAYERS, HIDDEN, heads=4, intermediate_size=INTERMEDIATE)
    encoder.compile()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    forward_flops(encoder, torch.zeros(2, 10, dtype=torch.long))
    after = encoder.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(parameter.device.type == "cpu" for parameter in encoder.parameters())


def test_the_rate_is_measured_with_actual_products():
    rate = matmul_rate(torch.device("cpu"), torch.float32, seconds=0.01)
    assert 1e8 < rate < 1e14
