"""The base class of all groups of settings: frozen, with known keys and readable errors."""

import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from maskwright.core.errors import UserError, nearest
from maskwright.settings.build import no_target, unknown_key, wrong_value
from maskwright.settings.convert import is_no_number


class Settings(BaseModel):
    """A group of settings; each field is a key of the config."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=True)

    # for a group that is made of parts: what the group describes, for messages
    parts_of: ClassVar[str | None] = None

    @classmethod
    def parse(cls, config: Any, path: str = "") -> Self:
        """Returns the settings of a plain config.

        Args:
            path: the dotted key of the group in the config, for messages.
        Raises:
            UserError: a key is unknown or missing, or a value is invalid.
        """
        try:
            return cls.model_validate(config)
        except ValidationError as error:
            raise UserError(_explain(error.errors()[0], cls, path)) from None

    @field_validator("*", mode="wrap")
    @classmethod
    def _true_is_no_number(cls, value: Any, validate: Any) -> Any:
        found = validate(value)
        if is_no_number(value, found):
            raise broken_value(f"is {value!r}, which is no number")
        return found

    def replace(self, **changes: Any) -> Self:
        """Returns the settings with other values."""
        return type(self).model_validate({**{name: getattr(self, name) for name in self._names()}, **changes})

    def plain(self) -> dict[str, Any]:
        """Returns the plain config, as `parse` takes it."""
        return self.model_dump()

    def _names(self) -> list[str]:
        return [*type(self).model_fields, *(self.model_extra or {})]


def broken(message: str) -> PydanticCustomError:
    """Returns the error of a validator whose message already names the keys."""
    return PydanticCustomError("broken_rule", "{message}", {"message": message})


def broken_value(message: str) -> PydanticCustomError:
    """The error of a validator of one field, whose key is put before its message."""
    return PydanticCustomError("broken_value", "{message}", {"message": message})


def _explain(error: ErrorDetails, cls: type[Settings], path: str) -> str:
    """Returns a message that names the key, and what is wrong with it."""
    owner, names = cls, [path] if path else []
    kind: Any = cls
    for name in map(str, error["loc"]):
        names.append(name)
        if typing.get_origin(kind) is dict:
            kind = typing.get_args(kind)[1]
        else:
            kind = owner.model_fields[name].annotation if name in owner.model_fields else None
        if isinstance(kind, type) and issubclass(kind, Settings):
            owner = kind
        elif typing.get_origin(kind) is not dict:
            break  # the rest names the type that pydantic tried
    key, options = ".".join(names), list(owner.model_fields)
    match error["type"]:
        case "broken_rule":
            return error["msg"]
        case "broken_value":
            return f"{key} {error['msg']}"
        case "extra_forbidden" if len(names) == 1:
            return f"There is no key '{key}'.{nearest(key, options)} The keys at the top are: {', '.join(options)}."
        case "extra_forbidden" | "missing" if owner.parts_of is not None:
            if error["type"] == "missing":
                return f"{key} is missing; {owner.parts_of} has {', '.join(options)}."
            return (
                f"There is no key '{key}'.{nearest(names[-1], options)} {owner.parts_of.capitalize()} has "
                f"{', '.join(options)}."
            )
        case "extra_forbidden":
            return unknown_key(key, owner.__name__.removesuffix("Settings"), options)
        case "missing" if key in ("logger", "callbacks"):
            return f"{key} is missing. For none, choose {key}=none."
        case "missing":
            return f"{key} is missing."
        case "no_settings" | "model_type" | "dict_type":
            return (
                f"{key}={error['input']!r} holds no settings; see conf/{key.replace('.', '/')}/ or conf/train.yaml."
            )
        case "no_target":
            return no_target(key)
    return wrong_value(key, error)


def get(config: Mapping[str, Any] | None, dotted: str) -> Any:
    """Returns a value of a plain config by its dotted key; None if there is none."""
    value: Any = config
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
