"""Config -> objects, with errors that name the key."""

import functools
import inspect
import typing
from collections.abc import Iterable
from typing import Any

import hydra.utils
from lightning.fabric.utilities.exceptions import MisconfigurationException
from pydantic import ConfigDict, TypeAdapter, ValidationError

from maskwright.errors import UserError, nearest

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
    parameters = inspect.signature(target).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = {name: p for name, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    options = [name for name in named if name not in given]
    for key in keys:
        if key not in options and not takes_any:
            raise UserError(
                f"{path}.{key} is no setting of {target.__name__}.{nearest(key, options)} "
                f"Its settings are: {', '.join(options)}."
            )
    # what is built with _partial_ gets its first argument later
    for name in options[1:] if node.get("_partial_") else options:
        if named[name].default is inspect.Parameter.empty and name not in keys:
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
    return name in inspect.signature(find_target(node, path)).parameters


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _hints(target: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    except NameError:  # a library's annotations that only its type checker can resolve
        return {}


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
