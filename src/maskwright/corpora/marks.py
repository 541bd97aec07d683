"""Where the words and entities of a text are, in a corpus of tagged words."""

from collections.abc import Callable
from dataclasses import dataclass

Spans = list[tuple[int, int]]  # the first character, and the one after the last


@dataclass(frozen=True)
class Marks:
    """Where the words and entities of a text are.

    Attributes:
        words: of the corpus itself, in order; a word without characters begins where it ends.
        entities: the spans that its tags describe; None if it has no tags of entities.
    """

    words: Spans
    entities: Spans | None


MarkedDocuments = Callable[[int, int], tuple[list[str], list[Marks | None]]]  # (first, last) -> texts and marks
