"""Config -> objects, with errors that name the key."""

import functools
import inspect
import typing
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
        UserError: a key is unknown to the target or missing, or a value is of the wrong type or
            refused by the target.
    """
    if "_target_" not in node:
        raise UserError(f"{path} has no _target_: choose one of the options of conf/{path.replace('.', '/')}/.")
    try:
        target = hydra.utils.get_object(node["_target_"])
    except Exception as error:
        raise UserError(f"{path}._target_='{node['_target_']}' cannot be imported: {error}") from error
    keys = {
        key: build(value, f"{path}.{key}") if isinstance(value, dict) and "_target_" in value else value
        for key, value in node.items()
        if key not in _RESERVED
    }
    partial = bool(node.get("_partial_"))
    _check(target, keys, path, set(given), partial)
    if partial:
        return functools.partial(target, **keys, **given)
    try:
        return target(**keys, **given)
    except UserError:
        raise
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise UserError(f"{path}: {error}") from error


def _check(target: Any, keys: dict[str, Any], path: str, given: set[str], partial: bool) -> None:
    """Compares the keys of a config with the signature of what it configures."""
    signature = inspect.signature(target)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    known = [name for name, p in signature.parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    for key in keys:
        if key not in known and not takes_any:
            options = [name for name in known if name not in given]
            raise UserError(
                f"{path}.{key} is no setting of {target.__name__}.{nearest(key, options)} "
                f"Its settings are: {', '.join(options)}."
            )
    for name, parameter in signature.parameters.items():
        required = parameter.default is parameter.empty and name in known
        if required and name not in keys and name not in given and not partial:
            raise UserError(f"{path}.{name} is missing; {target.__name__} needs it.")
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    for key, value in keys.items():
        if key in hints:
            check_type(value, hints[key], f"{path}.{key}")


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
