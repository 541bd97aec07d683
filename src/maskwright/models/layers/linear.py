"""Linear layers that declare the role of their weight."""

from torch import nn

from maskwright.core.roles import Role


class StackedLinear(nn.Linear):
    """Several linear maps of one input, without biases, computed as one product.

    Args:
        inputs: features of the input.
        outputs: features of each map.
        stacked: number of maps. `optim.muon` makes the matrix of each orthogonal by itself.
    """

    def __init__(self, inputs: int, outputs: int, stacked: int):
        super().__init__(inputs, stacked * outputs, bias=False)
        self.weight_role = Role("matrix", stacked)


class ReadoutLinear(nn.Linear):
    """The last layer of a head for labels. It starts at zero, so that all outputs are equally likely.

    `optim.muon` leaves it to AdamW, since it is not a map between hidden states.
    """

    weight_role = Role("readout")

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
