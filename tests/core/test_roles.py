import pytest
from torch import nn

from maskwright.core.roles import Role, roles_of
from maskwright.models import MaskedLMHead
from maskwright.models.layers.linear import ReadoutLinear, StackedLinear


def test_layers_declare_the_role_of_their_weight():
    model = nn.Sequential(
        nn.Embedding(9, 4), StackedLinear(4, 4, stacked=3), nn.Linear(12, 4), nn.LayerNorm(4), ReadoutLinear(4, 2)
    )
    assert list(roles_of(model).values()) == [Role("embedding"), Role("matrix", 3), Role("matrix"), Role("readout")]
    assert [weight is model[i].weight for i, weight in zip((0, 1, 2, 4), roles_of(model), strict=True)] == [
        True
    ] * 4


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_a_decoder_that_shares_the_embedding_has_the_role_of_an_embedding(first):
    embedding = nn.Embedding(9, 4)
    head = MaskedLMHead(embedding)
    roles = roles_of(nn.ModuleList([embedding, head] if first else [head, embedding]))
    assert roles == {embedding.weight: Role("embedding"), head.dense.weight: Role("matrix")}


def test_a_users_own_layer_may_declare_a_role():
    class Own(nn.Module):
        weight_role = Role("matrix", 2)

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(nn.Linear(4, 8).weight.detach())

    model = Own()
    assert roles_of(nn.Sequential(model)) == {model.weight: Role("matrix", 2)}
