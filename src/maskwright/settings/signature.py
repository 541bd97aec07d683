"""The names, defaults and types of the parameters of a class or function."""

import importlib
import inspect
import typing
from typing import Any


def located(path: str) -> Any:
    """Returns the object at a dotted path. As in Hydra, attributes of a package precede modules of that name."""
    first, *others = path.split(".")
    found, reached = importlib.import_module(first), first
    for name in others:
        reached = f"{reached}.{name}"
        if not hasattr(found, name) and inspect.ismodule(found):
            importlib.import_module(reached)
        found = getattr(found, name)
    return found


def parameters(target: Any) -> tuple[dict[str, inspect.Parameter], bool]:
    """Returns the named parameters of a function or class, and whether it takes any others.

    A class of this project that passes **kwargs to its base class has the parameters of both. For classes of other
    libraries, it is unknown what they do with their **kwargs.
    """
    named: dict[str, inspect.Parameter] = {}
    takes_any = False
    for owner in _owners(target):
        own = inspect.signature(owner).parameters.values()
        named = {p.name: p for p in own if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)} | named
        takes_any = any(p.kind is p.VAR_KEYWORD for p in own)
    named.pop("self", None)
    return named, takes_any


def type_hints(target: Any) -> dict[str, Any]:
    """Returns the annotations of those parameters, as far as they can be resolved."""
    hints: dict[str, Any] = {}
    for owner in _owners(target):
        try:
            hints = typing.get_type_hints(owner, include_extras=True) | hints
        except NameError:  # annotations of a library that only a type checker can resolve
            continue
    return hints


def _owners(target: Any) -> list[Any]:
    """Returns what declares the parameters of a target: a function itself, or each `__init__` up to one without
    **kwargs."""
    if not inspect.isclass(target):
        return [target]
    owners: list[Any] = []
    for owner in target.__mro__:
        if (init := vars(owner).get("__init__")) is None or owner is object:
            continue
        if owners and not owner.__module__.startswith("maskwright."):
            break
        owners.append(init)
        if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(init).parameters.values()):
            break
    return owners or [target]
