"""Fine-tuning: which parameters of an encoder are trained, when, and with which learning rate."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.optim import Optimizer

from maskwright.core.types import PositiveRate, Rate
from maskwright.models import Encoder


@dataclass(frozen=True)
class FineTuning:
    """Settings of fine-tuning.

    Args:
        freeze: what is never trained: nothing (0), the embeddings and the first `freeze` layers, the `embeddings`
            alone, or the whole `encoder` (a linear probe).
        gradual_unfreezing: the share of the run over which layers are unfrozen one after the other, the last layer
            first (Howard and Ruder, 2018); 0 trains all layers from the first step on.
        new_tokens_first: the share of the run over which nothing but the rows of tokens that the run adds to the
            vocabulary is trained. They are always trained, also where the other embeddings are frozen.
        layer_decay: the factor on the learning rate from each layer to the one below it (Clark et al., 2020).
        head_lr: the learning rate of the head; None uses that of the optimizer.
        head_weight_decay: the weight decay of the head; None uses that of the optimizer.
    Raises:
        ValueError: a setting is out of range.
    """

    freeze: int | Literal["embeddings", "encoder"] = 0
    gradual_unfreezing: float = 0.0
    new_tokens_first: float = 0.0
    layer_decay: float = 1.0
    head_lr: PositiveRate | None = None
    head_weight_decay: Rate | None = None

    def __post_init__(self) -> None:
        if isinstance(self.freeze, int) and self.freeze < 0:
            raise ValueError(f"freeze is {self.freeze}; it must be a number of layers, embeddings or encoder")
        if not 0 <= self.gradual_unfreezing <= 1:
            raise ValueError(
                f"gradual_unfreezing is {self.gradual_unfreezing}; it must be a share of the run from 0 to 1"
            )
        if not 0 <= self.new_tokens_first < 1:
            raise ValueError(
                f"new_tokens_first is {self.new_tokens_first}; it must be a share of the run from 0 to below 1"
            )
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay is {self.layer_decay}; it must be a factor above 0 and at most 1")
        if self.head_lr is not None and self.head_lr <= 0:
            raise ValueError(f"head_lr is {self.head_lr}; it must be above 0")
        if self.head_weight_decay is not None and self.head_weight_decay < 0:
            raise ValueError(f"head_weight_decay is {self.head_weight_decay}; it must be at least 0")

    def check(self, encoder: Encoder) -> None:
        """Checks that an encoder has as many layers as are to be frozen.

        Raises:
            ValueError: it has fewer layers.
        """
        layers = len(encoder.layers_in_order())
        if isinstance(self.freeze, int) and self.freeze > layers:
            raise ValueError(
                f"finetuning.freeze is {self.freeze}, but the encoder has {layers} layers; 'encoder' freezes all"
            )

    def learns(self, depth: int, layers: int, progress: float) -> bool:
        """Returns whether the parameters at a depth are trained when the share `progress` of the run is done.

        Args:
            depth: 0 for the embeddings, n for the n-th of the `layers`.
        """
        if self.freeze == "encoder" or (depth == 0 and self.freeze):
            return False
        if isinstance(self.freeze, int) and depth <= self.freeze and self.freeze:
            return False
        # the head is trained at once, the last layer after the first interval, the embeddings after all of them
        begins = self.gradual_unfreezing * (layers - depth + 1) / (layers + 1)
        return not self.gradual_unfreezing or progress >= begins

    def learning(self, layers: int, progress: float) -> float:
        """Returns the share of the layers that are trained when the share `progress` of the run is done."""
        depths = range(1, layers + 1) or [0]
        return sum(self.learns(depth, layers, progress) for depth in depths) / len(depths)

    @property
    def changes(self) -> bool:
        """Whether what is trained changes over the run."""
        return bool(self.gradual_unfreezing or self.new_tokens_first)

    def apply(self, encoder: Encoder, progress: float) -> None:
        """Sets `requires_grad` of each parameter for the current `progress` of the run.

        Those that adapters stand in for are never trained.
        """
        depths, layers = encoder.parameter_depths(), len(encoder.layers_in_order())
        for name, parameter in encoder.named_parameters():
            learns = name not in encoder.frozen_weights and self.learns(depths[name], layers, progress)
            parameter.requires_grad_(learns)

    @property
    def regroups(self) -> bool:
        """Whether layers or the head have settings of their own."""
        return self.layer_decay != 1 or self.head_lr is not None or self.head_weight_decay is not None

    def regroup(self, optimizer: Optimizer, encoder: Encoder) -> None:
        """Splits the parameter groups of a new optimizer where layers or the head have settings of their own."""
        by_name, layers = encoder.parameter_depths(), len(encoder.layers_in_order())
        depths = {id(parameter): by_name[name] for name, parameter in encoder.named_parameters()}
        groups = []
        for group in optimizer.param_groups:
            by_settings: dict[tuple[float, float], list[Tensor]] = {}
            for parameter in group["params"]:
                lr, decay = group["lr"], group["weight_decay"]
                if (depth := depths.get(id(parameter))) is not None:
                    lr *= self.layer_decay ** (layers - depth)
                else:
                    lr = lr if self.head_lr is None else self.head_lr
                    is_matrix = parameter.ndim > 1  # only matrices have weight decay
                    decay = decay if self.head_weight_decay is None or not is_matrix else self.head_weight_decay
                by_settings.setdefault((lr, decay), []).append(parameter)
            groups += [
                group | {"params": parameters, "lr": lr, "weight_decay": decay}
                for (lr, decay), parameters in by_settings.items()
            ]
        optimizer.param_groups[:] = groups
