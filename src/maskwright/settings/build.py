"""Config -> objects, with errors that name the key."""

import functools
import inspect
import typing
from collections.abc import Iterable
from typing import Any

import hydra.utils
from lightning.fabric.utilities.exceptions import MisconfigurationException
from pydantic import ConfigDict, TypeAdapter, ValidationError

from maskwright.core.errors import UserError, nearest

_RESERVED = ("_target_", "_partial_")


def build(node: dict[str, Any], path: str, **given: Any) -> Any:
    """Calls the `_target_` of a config node with its keys and with `given` arguments.

    Args:
        path: dotted place of the node in the config, for messages.
    Raises:
        UserError: `verify` refuses the node, or the target refuses a value.
    """
    target = verify(node, path, given)
    keys = {
        key: build(value, f"{path}.{key}") if _is_node(value) else value
        for key, value in node.items()
        if key not in _RESERVED
    }
    if node.get("_partial_"):
        return functools.partial(target, **keys, **given)
    try:
        return target(**keys, **given)
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise UserError(f"{path}: {error}") from error


def verify(node: Any, path: str, given: Iterable[str] = ()) -> Any:
    """The target of a config node, after comparing the node with the target's signature.

    Args:
        given: names of arguments that the config does not have to have.
    Raises:
        UserError: the target does not exist, a key is unknown to it or missing, or a value is of
            another type than it takes.
    """
    target = find_target(node, path)
    keys = {key: value for key, value in node.items() if key not in _RESERVED}
    named, takes_any = parameters(target)
    options = [name for name in named if name not in given]
    for key in keys:
        if key not in options and not takes_any:
            raise UserError(
                f"{path}.{key} is no setting of {target.__name__}.{nearest(key, options)} "
                f"Its settings are: {', '.join(options)}."
            )
    # what is built with _partial_ gets its first argument later
    own = inspect.signature(target).parameters  # a class may itself give what the one above it needs
    for name in options[1:] if node.get("_partial_") else options:
        if name in own and named[name].default is inspect.Parameter.empty and name not in keys:
            raise UserError(f"{path}.{name} is missing; {target.__name__} needs it.")
    hints = _hints(target)
    for key, value in keys.items():
        if _is_node(value):
            verify(value, f"{path}.{key}")
        elif key in hints:
            check_type(value, hints[key], f"{path}.{key}")
    return target


def find_target(node: Any, path: str) -> Any:
    """The class or function that a config node names.

    Raises:
        UserError: the node names none, or one that cannot be imported.
    """
    if not _is_node(node):
        raise UserError(f"{path} has no _target_: choose one of the options of conf/{path.replace('.', '/')}/.")
    try:
        return hydra.utils.get_object(node["_target_"])
    except Exception as error:
        raise UserError(f"{path}._target_='{node['_target_']}' cannot be imported: {error}") from error


def takes(node: Any, path: str, name: str) -> bool:
    """Whether the target of a config node has a parameter of a name that the config need not set.

    Raises:
        UserError: the node has no target, or one that does not exist.
    """
    return name in parameters(find_target(node, path))[0]


def parameters(target: Any) -> tuple[dict[str, inspect.Parameter], bool]:
    """The named parameters of a function or class, and whether it takes others too.

    Those of a class that hands its **kwargs on to a class of ours are its own and those of that class. What other
    libraries do with theirs is not known.
    """
    named: dict[str, inspect.Parameter] = {}
    takes_any = False
    for owner in _owners(target):
        own = inspect.signature(owner).parameters.values()
        named = {p.name: p for p in own if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)} | named
        takes_any = any(p.kind is p.VAR_KEYWORD for p in own)
    named.pop("self", None)
    return named, takes_any


def _owners(target: Any) -> list[Any]:
    """What a target's parameters stand in: itself, or, of a class, as many `__init__` as hand **kwargs on."""
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


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _hints(target: Any) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for owner in _owners(target):
        try:
            hints = typing.get_type_hints(owner, include_extras=True) | hints
        except NameError:  # a library's annotations that only its type checker can resolve
            continue
    return hints


def check_type(value: Any, annotation: Any, path: str) -> None:
    """Raises a UserError unless a plain value fits a Python annotation."""
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except Exception:  # pydantic takes its configuration only where it builds the type itself
        adapter = TypeAdapter(annotation)
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise UserError(f"{path}={value!r}: {wrong['msg']}.") from None
