"""Which keys of a config take texts, and which of these name files, found by the types that are declared."""

import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from maskwright.core.types import OnDisk
from maskwright.settings.component import TARGET, Component, is_node
from maskwright.settings.signature import located, type_hints


@dataclass(frozen=True)
class Takes:
    """Marks a field whose own annotation says less than what it takes, because that is checked elsewhere.

    Args:
        what: the annotation, or the dotted path of a class whose arguments are the keys below the field.
        prose: whether commas, quotes, brackets and `${` mean nothing in its texts.
        named: of a class, whether other keys below the field are names, each with these arguments below it.
    """

    what: Any
    prose: bool = False
    named: bool = False


Prose = Annotated[Any, Takes(str | list[str], prose=True)]


class Texts(NamedTuple):
    """Which texts a key takes.

    Attributes:
        single: whether a text is a value of the key.
        several: whether a list of texts is one.
        others: whether numbers, true or false are values too.
        prose: see `Takes`.
    """

    single: bool = False
    several: bool = False
    others: bool = False
    prose: bool = False


def annotation_of(owner: Any, key: Sequence[str], config: Any = None) -> Any:
    """Returns the annotation of a key; None if none is declared.

    Args:
        owner: a class of settings, or another annotation of what the key is in.
        key: the names in the dotted key.
        config: the plain value of what the key is in, which names the classes of components.
    """
    if not key or owner is None:
        return owner
    inside = config.get(key[0]) if isinstance(config, Mapping) else None
    return annotation_of(_below(owner, key[0], config), key[1:], inside)


def texts_of(annotation: Any) -> Texts:
    """Returns which texts an annotation allows."""
    members = list(_members(annotation))
    return Texts(
        any(isinstance(own, type) and issubclass(own, (str, os.PathLike)) for own in members),
        any(str in _members(own) for own in _elements(members)),
        any(own in (int, float, bool) for own in members),
        any(isinstance(own, Takes) and own.prose for own in members),
    )


def with_paths(value: Any, moved: Callable[[str], str], annotation: Any = Component) -> Any:
    """Returns a plain value of a config in which `moved` has replaced each text that names something on disk.

    Args:
        annotation: of the value; by default, that of a node, or of a group that nodes are in.
    """
    if isinstance(value, Mapping):
        group = annotation is Component and not is_node(value)
        return {
            name: with_paths(own, moved, Component if group or is_node(own) else _below(annotation, name, value))
            for name, own in value.items()
        }
    members = list(_members(annotation))
    if isinstance(value, (list, tuple)):
        element = next(iter(_elements(members)), None)
        return [with_paths(own, moved, element) for own in value]
    return moved(value) if isinstance(value, str) and OnDisk in members else value


def _below(owner: Any, name: str, config: Any) -> Any:
    """Returns the annotation of a key of what has the annotation `owner`; None if none is declared."""
    for member in _members(owner):
        if typing.get_origin(member) is dict:
            return typing.get_args(member)[1]
        hints: Mapping[str, Any] = {}
        if member is Component:
            hints = _arguments(config[TARGET]) if is_node(config) else {}
        elif isinstance(member, Takes) and isinstance(member.what, str):
            hints = _arguments(member.what)
            if member.named and name not in hints:
                return Takes(member.what)
        elif isinstance(member, type):
            hints = typing.get_type_hints(member, include_extras=True)
        if name in hints:
            return hints[name]
    return None


def _arguments(target: str) -> Mapping[str, Any]:
    try:
        return type_hints(located(target))
    except Exception:  # `find_target` says why
        return {}


def _members(annotation: Any) -> Iterator[Any]:
    """Yields the types of a union, and what is said about each in `Annotated`."""
    if typing.get_origin(annotation) is Annotated:
        inner, *said = typing.get_args(annotation)
        yield from said
        more = [own.what for own in said if isinstance(own, Takes)]
        yield from _members(more[0] if more else inner)
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for inner in typing.get_args(annotation):
            yield from _members(inner)
    else:
        yield annotation


def _elements(members: Sequence[Any]) -> Iterator[Any]:
    """Yields the annotations of the elements of those members that are lists."""
    for member in members:
        origin = typing.get_origin(member)
        if isinstance(origin, type) and issubclass(origin, Sequence):
            yield from typing.get_args(member)
