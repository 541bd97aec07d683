"""Values of a config in the types that the classes of a component declare: 1e3 as 1000, "0.1" as 0.1."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter


@lru_cache(maxsize=1024)
def _cached_adapter(annotation: Any) -> TypeAdapter:
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except Exception:  # pydantic accepts a configuration only for types that have none of their own
        return TypeAdapter(annotation)


def adapter(annotation: Any) -> TypeAdapter:
    """Returns what validates values of a Python annotation."""
    try:
        return _cached_adapter(annotation)
    except TypeError:  # not hashable
        return _cached_adapter.__wrapped__(annotation)


def converted(values: Mapping[str, Any], hints: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a component with numbers in the types of their annotations.

    Values that do not fit, and those that only a class can make of them, stay as they are; `check_type` refuses the
    former.

    Args:
        hints: the annotations by name.
    """
    return {key: _fitted(value, hints[key]) if key in hints else value for key, value in values.items()}


def _fitted(value: Any, annotation: Any) -> Any:
    if value is None:
        return None
    try:
        return _plain(value, adapter(annotation).validate_python(value))
    except Exception:  # a value that does not fit, or an annotation that pydantic cannot read
        return value


def _plain(value: Any, found: Any) -> Any:
    """Returns what was found, as a plain value of the same form; the value itself where that is not possible."""
    if isinstance(value, Mapping) and isinstance(found, Mapping):
        return {key: _plain(own, found[key]) if key in found else own for key, own in value.items()}
    if isinstance(value, (list, tuple)) and isinstance(found, (list, tuple)) and len(value) == len(found):
        return [_plain(own, other) for own, other in zip(value, found, strict=True)]
    if isinstance(value, (str, float)) and isinstance(found, (bool, int, float)):
        return found
    return value  # integers are numbers of any kind already; true and false are none


def whole(value: Any) -> Any:
    """Returns a number such as 1e3 as an integer; any other value as it is."""
    is_whole = isinstance(value, float) and math.isfinite(value) and value == int(value)
    return int(value) if is_whole else value


def is_no_number(value: Any, found: Any) -> bool:
    """Returns whether a value is true or false, which was read as a number."""
    return isinstance(value, bool) and isinstance(found, (int, float)) and not isinstance(found, bool)
