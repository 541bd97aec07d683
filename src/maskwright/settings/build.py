"""Builds objects from components, with errors that name the key."""

import functools
import inspect
import re
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from annotated_types import Ge
from pydantic import ValidationError

from maskwright.core.errors import UserError, nearest
from maskwright.core.renamed import new_key, new_target
from maskwright.settings.component import Component, is_node
from maskwright.settings.convert import adapter, is_no_number
from maskwright.settings.signature import located, parameters, type_hints

Node = Component | Mapping[str, Any]


def build(node: Node, path: str, **given: Any) -> Any:
    """Calls the target of a component with its arguments and with those in `given`.

    Args:
        path: the dotted key of the component in the config, for messages.
    Raises:
        UserError: `verify` refuses the component, or the target does not accept a value.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException  # takes seconds to import

    target = verify(node, path, given)
    component = _component(node, path)
    arguments = {
        key: build(value, f"{path}.{key}") if isinstance(value, Component) else value
        for key, value in component.arguments.items()
    }
    if component.partial:
        return functools.partial(target, **arguments, **given)
    try:
        return target(**arguments, **given)
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise UserError(_with_key(path, str(error), target)) from error


def _with_key(path: str, message: str, target: Any) -> str:
    """What a class says is wrong, with the key before it: that of an argument where the message begins with one."""
    argument = re.match(r"\w+", message)
    known = argument is not None and argument[0] in parameters(target)[0]
    return f"{path}.{message}" if known else f"{path}: {message}"


def verify(node: Node, path: str, given: Iterable[str] = ()) -> Any:
    """Returns the target of a component, after comparing its arguments with the signature of the target.

    Args:
        given: names of arguments that do not come from the config.
    Raises:
        UserError: the target does not exist, a key is unknown or missing, or a value has the wrong type.
    """
    component = _component(node, path)
    target = find_target(component, path)
    named, takes_any = parameters(target)
    options = [name for name in named if name not in given]
    for key in component:
        if key not in options and not takes_any:
            raise UserError(unknown_key(f"{path}.{key}", target.__name__, options))
    own = inspect.signature(target).parameters  # a class may itself pass the arguments that its base class needs
    for name in options[1:] if component.partial else options:
        if name in own and named[name].default is inspect.Parameter.empty and name not in component:
            raise UserError(f"{path}.{name} is missing; {target.__name__} needs it.")
    hints = type_hints(target)
    for key, value in component.arguments.items():
        if isinstance(value, Component):
            verify(value, f"{path}.{key}")
        elif key in hints:
            check_type(value, hints[key], f"{path}.{key}")
    return target


def find_target(node: Node, path: str) -> Any:
    """Returns the class or function that a component names.

    Raises:
        UserError: the node names no target, or one that cannot be imported.
    """
    target = _component(node, path).target
    try:
        return located(target)
    except Exception as error:
        if (instead := new_target(target)) is not None:
            raise UserError(f"{path}._target_='{target}' is now '{instead}'.") from error
        raise UserError(f"{path}._target_='{target}' cannot be imported: {error}") from error


def takes(node: Node, path: str, name: str) -> bool:
    """Returns whether the target of a component has a parameter of this name.

    Raises:
        UserError: the node names no target, or one that does not exist.
    """
    return name in parameters(find_target(node, path))[0]


def unknown_key(key: str, owner: str, options: Iterable[str]) -> str:
    """Returns the message for a key that does not exist."""
    if (instead := new_key(key)) is not None:
        return f"{key} is now {instead}."
    options = list(options)
    return (
        f"{key} is no setting of {owner}.{nearest(key.rpartition('.')[2], options)} "
        f"Its settings are: {', '.join(options)}."
    )


def check_type(value: Any, annotation: Any, path: str) -> None:
    """Raises a UserError unless a plain value fits a Python annotation."""
    least = _least(annotation)
    if least is not None and isinstance(value, bool):
        raise UserError(f"{path}={value!r} is not a whole number of at least {least}.")
    try:
        found = adapter(annotation).validate_python(value)
    except ValidationError as error:
        if least is not None and not (isinstance(value, int) and value >= least):
            raise UserError(f"{path}={value!r} is not a whole number of at least {least}.") from None
        first = error.errors()[0]
        for name in first["loc"]:  # the rest names the type that pydantic tried
            if not isinstance(value, Mapping) or name not in value:
                break
            path, value = f"{path}.{name}", value[name]
        raise UserError(wrong_value(path, {**first, "input": value})) from None
    if is_no_number(value, found):
        raise UserError(f"{path}={value!r} is no number.")


def _least(annotation: Any) -> int | None:
    """Returns the lower bound of an annotation of integers; None if it has none."""
    if typing.get_origin(annotation) is not Annotated or typing.get_args(annotation)[0] is not int:
        return None
    return next((bound.ge for bound in typing.get_args(annotation)[1:] if isinstance(bound, Ge)), None)  # type: ignore[return-value]


def no_target(key: str) -> str:
    """Returns the message for a key that names nothing to build."""
    return f"{key} has no _target_: choose one of the options of conf/{key.replace('.', '/')}/."


def wrong_value(key: str, error: Mapping[str, Any]) -> str:
    """Returns the message for a value that a key cannot have.

    Args:
        error: one of the `errors()` of a pydantic ValidationError.
    """
    context = error.get("ctx", {})
    least = context.get("ge", context["gt"] + 1 if "gt" in context else None)
    value = f"{key}={error['input']!r}"
    if isinstance(least, int):
        return f"{value} is not a whole number of at least {least}."
    return f"{value}: {error['msg'].removeprefix('Value error, ')}."


def _component(node: Node, path: str) -> Component:
    if isinstance(node, Component):
        return node
    if not is_node(node):
        raise UserError(no_target(path))
    return Component.from_node(node)
