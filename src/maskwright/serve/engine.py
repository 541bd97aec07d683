"""What a server asks: an engine with its skills, whatever computes them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]  # of JSON


@dataclass(frozen=True)
class Skill:
    """Something that a model is asked about texts.

    Attributes:
        answer: returns a row for each text. The options are those of the request, as keyword arguments; requests
            with equal options share a call.
        check: raises a UserError for a text that cannot be answered with these options, so that it is refused
            before it shares a batch with others.
    """

    answer: Callable[..., Sequence[Row]]
    check: Callable[..., None] = lambda text, **options: None


@dataclass(frozen=True)
class Engine:
    """A model that is ready to answer.

    Attributes:
        name: what computes: torch or onnx.
        model: what was opened, for people.
        skills: by the names of their endpoints.
        about: what a page needs to know: names of labels, the spelling of a mask, strategies.
    """

    name: str
    model: str
    skills: Mapping[str, Skill]
    about: Row = field(default_factory=dict)
