"""A config node that names a class or function, and the arguments for it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from maskwright.settings.convert import converted
from maskwright.settings.signature import located, type_hints

TARGET, PARTIAL = "_target_", "_partial_"


@dataclass(frozen=True)
class Component:
    """A config node with `_target_`, and `_partial_` where it is set, as in Hydra.

    Args:
        target: the dotted path of a class or function.
        arguments: plain containers; nodes among them are components.
        partial: whether the target is called later, with its first argument.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    partial: bool = False

    @classmethod
    def from_node(cls, node: Mapping[str, Any]) -> "Component":
        """Returns the component that a plain config node describes, with numbers in the types of its class."""
        arguments = {key: _read(value) for key, value in node.items() if key not in (TARGET, PARTIAL)}
        try:
            hints = type_hints(located(node[TARGET]))
        except Exception:  # `find_target` says why
            hints = {}
        return cls(node[TARGET], converted(arguments, hints), bool(node.get(PARTIAL)))

    def to_node(self) -> dict[str, Any]:
        """Returns the plain config node, as `from_node` takes it."""
        reserved = {TARGET: self.target} | ({PARTIAL: True} if self.partial else {})
        return reserved | {key: _write(value) for key, value in self.arguments.items()}

    def get(self, key: str, default: Any = None) -> Any:
        """Returns an argument; `default` if the node does not have it."""
        return self.arguments.get(key, default)

    def __getitem__(self, key: str) -> Any:
        return self.arguments[key]

    def __contains__(self, key: object) -> bool:
        return key in self.arguments

    def __iter__(self) -> Iterator[str]:
        return iter(self.arguments)

    def replace(self, **arguments: Any) -> "Component":
        """Returns the component with other arguments."""
        return Component(self.target, {**self.arguments, **arguments}, self.partial)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validated, serialization=core_schema.plain_serializer_function_ser_schema(Component.to_node)
        )


def is_node(value: Any) -> bool:
    """Returns whether a plain value of a config is a node that names a target."""
    return isinstance(value, Mapping) and TARGET in value


def _validated(value: Any) -> Component:
    if isinstance(value, Component):
        return value
    if not isinstance(value, Mapping):
        raise PydanticCustomError("no_settings", "holds no settings")
    if TARGET not in value:
        raise PydanticCustomError("no_target", "has no _target_")
    return Component.from_node(value)


def _read(value: Any) -> Any:
    return Component.from_node(value) if is_node(value) else value


def _write(value: Any) -> Any:
    return value.to_node() if isinstance(value, Component) else value
