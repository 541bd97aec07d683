"""The role of each weight in a module, which an optimizer needs to know.

Layers declare the role of their weight. `optim` reads it and does not depend on the layers in `models`.
"""

from typing import Literal, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn


class Role(NamedTuple):
    """The role of a weight.

    Attributes:
        kind: `embedding`, one row per token, including a decoder that is tied to it; `matrix`, a linear map between
            hidden states; `readout`, a linear map from hidden states to classes, tags or numbers; or
            `distribution`, a table of log-probabilities.
        stacked: how many matrices are stored in the weight, stacked along the first dimension.
        outcomes: of a distribution, the dimension along which the probabilities sum to 1.
    """

    kind: Literal["embedding", "matrix", "readout", "distribution"]
    stacked: int = 1
    outcomes: int = -1


@runtime_checkable
class DeclaresRole(Protocol):
    """A layer that declares the role of its weight."""

    weight: Tensor
    weight_role: Role


def roles_of(module: nn.Module) -> dict[Tensor, Role]:
    """Returns the roles of the weights of a module, in the order of its layers.

    `nn.Embedding` has the role `embedding`, and `nn.Linear` the role `matrix`. Weights without a role are left out:
    biases, norms, convolution kernels and the weights of recurrent layers. A weight that is shared with an
    embedding has the role `embedding`.
    """
    roles: dict[Tensor, Role] = {}
    for layer in module.modules():
        if isinstance(layer, DeclaresRole):
            roles.setdefault(layer.weight, layer.weight_role)
        elif isinstance(layer, nn.Embedding):
            roles[layer.weight] = Role("embedding")
        elif isinstance(layer, nn.Linear):
            roles.setdefault(layer.weight, Role("matrix"))
    return roles
