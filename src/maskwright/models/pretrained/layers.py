"""Finds the layers of encoders from other libraries, by the structure that all known ones share."""

from torch import nn

_READ_BY_ALL = ("encoder.LayerNorm",)  # DeBERTa's norm of relative positions, made after the layers that read it


def find_layers(encoder: nn.Module) -> list[nn.Module]:
    """Returns the layers, from the first to the last; an empty list if there is no `nn.ModuleList`.

    They are the longest `nn.ModuleList` of the encoder. XLM spreads its layers over several lists of the same
    length, which are combined.
    """
    stacks = _stacks(encoder)
    if len(stacks) < 2:
        return [layer for stack in stacks for layer in stack]
    return [nn.ModuleList(parts) for parts in zip(*stacks, strict=True)]


def find_depths(encoder: nn.Module) -> dict[str, int]:
    """The depth of each parameter by its name: 0 below the first layer, n in the n-th layer or after it."""
    layers = find_layers(encoder)
    inside = {id(p): number for number, layer in enumerate(layers, 1) for p in layer.parameters()}
    below = {
        id(parameter)
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Embedding) or name.endswith(_READ_BY_ALL)
        for parameter in module.parameters(recurse=False)
    }
    depths, reached = {}, 0
    for name, parameter in encoder.named_parameters():  # in the order in which they were made, from below
        number = id(parameter)
        reached = inside.get(number, len(layers) if reached else 0)
        depths[name] = reached if number in inside or number not in below else 0
    return depths


def _stacks(encoder: nn.Module) -> list[nn.ModuleList]:
    """Returns the longest `nn.ModuleList`s: those of the first module that holds one of the greatest length."""
    held = [
        [own for own in module.children() if isinstance(own, nn.ModuleList) and not _embeds(own)]
        for module in encoder.modules()
        if not isinstance(module, nn.ModuleList)
    ]
    length = max((len(stack) for stacks in held for stack in stacks), default=0)
    siblings = next((stacks for stacks in held if length in map(len, stacks)), [])
    return [stack for stack in siblings if len(stack) == length]


def _embeds(modules: nn.ModuleList) -> bool:
    """Returns whether a list holds embeddings, as MarkupLM's of the paths of its tags does."""
    return all(isinstance(module, nn.Embedding) for module in modules)
