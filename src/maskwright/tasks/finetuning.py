"""Which parameters of an encoder learn, when, and how fast."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.optim import Optimizer

_READ_BY_ALL = ("encoder.LayerNorm",)  # DeBERTa's norm of relative positions, made behind the layers that read it


@dataclass(frozen=True)
class FineTuning:
    """Settings of fine-tuning.

    Args:
        freeze: what never learns: nothing (0), the embeddings and the first so many layers, the `embeddings` alone,
            or the whole `encoder` (a linear probe).
        thaw: share of the run in which layers begin to learn one after the other, the last ones first (Howard and
            Ruder, 2018); 0 lets all learn from the first step on.
        layer_decay: factor on the learning rate from each layer to the one below it (Clark et al., 2020).
        head_lr: learning rate of what stands on the encoder; None takes the optimizer's own.
        head_weight_decay: its weight decay; None takes the optimizer's own.
    Raises:
        ValueError: a setting is out of range.
    """

    freeze: int | Literal["embeddings", "encoder"] = 0
    thaw: float = 0.0
    layer_decay: float = 1.0
    head_lr: float | None = None
    head_weight_decay: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.freeze, int) and self.freeze < 0:
            raise ValueError(f"finetuning.freeze is {self.freeze}; it is a number of layers, embeddings or encoder")
        if not 0 <= self.thaw <= 1:
            raise ValueError(f"finetuning.thaw is {self.thaw}; it is a share of the run from 0 to 1")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"finetuning.layer_decay is {self.layer_decay}; it is a factor above 0 and at most 1")
        if self.head_lr is not None and self.head_lr <= 0:
            raise ValueError(f"finetuning.head_lr is {self.head_lr}; it is above 0")
        if self.head_weight_decay is not None and self.head_weight_decay < 0:
            raise ValueError(f"finetuning.head_weight_decay is {self.head_weight_decay}; it is at least 0")

    def check(self, encoder: nn.Module) -> None:
        """Refuses an encoder that has not as many layers as are to be frozen.

        Raises:
            ValueError: it has fewer.
        """
        layers = depths_of(encoder)[1]
        if isinstance(self.freeze, int) and self.freeze > layers:
            raise ValueError(
                f"finetuning.freeze is {self.freeze}, and the encoder has {layers} layers; 'encoder' freezes all"
            )

    def learns(self, depth: int, layers: int, progress: float) -> bool:
        """Whether the parameters at a depth learn when `progress` of the run is done.

        Args:
            depth: 0 for embeddings, n for the n-th layer.
        """
        if self.freeze == "encoder" or (depth == 0 and self.freeze):
            return False
        if isinstance(self.freeze, int) and depth <= self.freeze and self.freeze:
            return False
        # the head learns at once, the last layer behind the first part of that time, the embeddings at its end
        return not self.thaw or progress >= self.thaw * (layers - depth + 1) / (layers + 1)

    def learning(self, layers: int, progress: float) -> float:
        """The share of the layers that learn when `progress` of the run is done."""
        depths = range(1, layers + 1) or [0]
        return sum(self.learns(depth, layers, progress) for depth in depths) / len(depths)

    def apply(self, encoder: nn.Module, progress: float) -> None:
        """Says to each parameter whether it learns now."""
        depths, layers = depths_of(encoder)
        for parameter in encoder.parameters():
            parameter.requires_grad_(self.learns(depths[id(parameter)], layers, progress))

    def regroup(self, optimizer: Optimizer, encoder: nn.Module) -> None:
        """Splits the groups of a new optimizer where layers, or the head, have rates of their own."""
        depths, layers = depths_of(encoder)
        groups = []
        for group in optimizer.param_groups:
            by_settings: dict[tuple[float, float], list[Tensor]] = {}
            for parameter in group["params"]:
                lr, decay = group["lr"], group["weight_decay"]
                if (depth := depths.get(id(parameter))) is not None:
                    lr *= self.layer_decay ** (layers - depth)
                else:
                    lr = lr if self.head_lr is None else self.head_lr
                    is_matrix = parameter.ndim > 1  # what decays
                    decay = decay if self.head_weight_decay is None or not is_matrix else self.head_weight_decay
                by_settings.setdefault((lr, decay), []).append(parameter)
            groups += [
                group | {"params": parameters, "lr": lr, "weight_decay": decay}
                for (lr, decay), parameters in by_settings.items()
            ]
        optimizer.param_groups[:] = groups


def depths_of(encoder: nn.Module) -> tuple[dict[int, int], int]:
    """The depth of each parameter by its id, and that of the last layer.

    A depth is 0 below the first layer, and n in the n-th or behind it. The layers are the encoder's longest list
    of modules, and others as long beside it, among which XLM spreads a layer.
    """
    held = [
        [own for own in module.children() if isinstance(own, nn.ModuleList)]
        for module in encoder.modules()
        if not isinstance(module, nn.ModuleList)
    ]
    last = max((len(own) for lists in held for own in lists), default=0)
    stacks = next((lists for lists in held if last in map(len, lists)), [])
    inside = {
        id(parameter): number
        for stack in stacks
        if len(stack) == last
        for number, layer in enumerate(stack, 1)
        for parameter in layer.parameters()
    }
    below = {
        id(parameter)
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Embedding) or name.endswith(_READ_BY_ALL)
        for parameter in module.parameters(recurse=False)
    }
    depths, reached = {}, 0
    for parameter in encoder.parameters():  # in the order in which they were made, from below
        number = id(parameter)
        reached = inside.get(number, last if reached else 0)
        depths[number] = reached if number in inside or number not in below else 0
    return depths, last
