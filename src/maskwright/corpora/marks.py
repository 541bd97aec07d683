"""What a corpus of tagged words says about a text."""

from dataclasses import dataclass

Spans = list[tuple[int, int]]  # first character, and the one behind the last


@dataclass(frozen=True)
class Marks:
    """What a corpus of tagged words says about a text.

    Attributes:
        words: the corpus's own words, in order; one without characters begins where it ends.
        entities: the spans that its tags make.
    """

    words: Spans
    entities: Spans
