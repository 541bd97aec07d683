"""Adapters of low rank (LoRA, Hu et al., 2021, arXiv 2106.09685), put into an encoder by `peft`.

The map of an adapted layer is W + alpha / rank * B A, where W is frozen. A checkpoint of a run holds W, A and B
under names of peft's; `merged` makes the plain weights of them, so that only training knows of adapters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from maskwright.core.errors import UserError
from maskwright.core.types import PositiveCount, PositiveRate, Share
from maskwright.models.encoder import Encoder

_ADAPTER = "default"  # as peft calls an adapter that has no other name
_DOWN, _UP, _BASE = f".lora_A.{_ADAPTER}.weight", f".lora_B.{_ADAPTER}.weight", ".base_layer."


@dataclass(frozen=True)
class Lora:
    """Settings of adapters.

    Args:
        rank: of A and B; None leaves the encoder without adapters.
        alpha: the adapters are scaled by alpha / rank.
        dropout: of the input of A.
        targets: the linear layers that get an adapter, by the last part or parts of their names, such as `query`;
            None takes all.
        also: which weights of the encoder learn beside the adapters, by parts of their names, such as `LayerNorm`.
    """

    rank: PositiveCount | None = None
    alpha: PositiveRate = 16.0
    dropout: Share = 0.0
    targets: list[str] | None = None
    also: list[str] = field(default_factory=list)


def add_adapters(encoder: Encoder, lora: Lora) -> None:
    """Puts adapters into an encoder, in place, and freezes its other weights; see `frozen_weights` of `Encoder`.

    Raises:
        UserError: it has no such layers, or no such weights; or peft is not installed.
    """
    module: Any = encoder
    assert lora.rank is not None
    try:
        import peft  # takes seconds to import
    except ImportError as error:
        raise UserError('model.lora needs the package peft: pip install -e ".[adapters]"') from error
    targets = _targets(module, lora.targets)
    own = [name for name, _ in module.named_parameters()]
    for part in lora.also:
        if not any(part in name for name in own):
            raise UserError(
                f"model.lora.also: no weight of {type(encoder).__name__} is called {part}. Its weights are called: "
                f"{', '.join(_short(name.rpartition('.')[0] for name in own))}."
            )
    settings: Any = {"r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout, "bias": "none"}
    peft.inject_adapter_in_model(peft.LoraConfig(target_modules=targets, **settings), module)
    frozen = [name for name, _ in module.named_parameters() if not is_adapter(name)]
    module.frozen_weights = frozenset(
        name for name in frozen if not any(part in name.replace(_BASE, ".") for part in lora.also)
    )


def is_adapter(name: str) -> bool:
    """Returns whether a weight of this name is of an adapter."""
    return name.endswith((_DOWN, _UP))


def merged(state: dict[str, Tensor], lora: Lora) -> dict[str, Tensor]:
    """Returns the weights of a model with adapters under their names in one without, adapters included."""
    assert lora.rank is not None
    scale = lora.alpha / lora.rank
    found = {}
    for name, weight in state.items():
        if is_adapter(name):
            continue
        layer, base, kind = name.rpartition(_BASE)
        if base and f"{layer}{_DOWN}" in state and kind == "weight":
            weight = weight + scale * (state[f"{layer}{_UP}"] @ state[f"{layer}{_DOWN}"]).to(weight.dtype)
        found[name.replace(_BASE, ".")] = weight
    return found


def _targets(encoder: nn.Module, asked: Sequence[str] | None) -> list[str]:
    """Returns the names of the linear layers that get an adapter.

    Raises:
        UserError: a name is of none of them, or there are none.
    """
    linear = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
    kind = type(encoder).__name__
    if not linear:
        others = ", ".join(_short(name for name, module in encoder.named_modules() if not [*module.children()]))
        raise UserError(
            f"model.lora.rank: {kind} has no linear layers that adapters could be put into. Its layers are: "
            f"{others}."
        )
    if asked is None:
        return linear
    for target in asked:
        if not any(_ends(name, target) for name in linear):
            raise UserError(
                f"model.lora.targets: no linear layer of {kind} is called {target}. They are called: "
                f"{', '.join(_short(linear))}."
            )
    return [name for name in linear if any(_ends(name, target) for target in asked)]


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _short(names: Any) -> list[str]:
    """Returns the last two parts of names, each once, without numbers."""
    return [*dict.fromkeys(".".join(p for p in name.split(".")[-2:] if not p.isdigit()) for name in names if name)]
