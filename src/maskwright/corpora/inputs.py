"""Texts to make predictions for: as they were given, and as a model reads them."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from maskwright.corpora.labels import Labelled, Tagged
from maskwright.corpora.marks import Spans

WordRule = Literal["punctuation", "blanks"]

# a word is letters and digits, joined by hyphens and apostrophes, or by dots and commas between digits; each other
# character is a word of its own
PUNCTUATION = re.compile(r"\w+(?:[-'’]\w+|(?<=\d)[.,](?=\d)\w+)*|[^\w\s]")
_WORDS: dict[WordRule, re.Pattern[str]] = {"punctuation": PUNCTUATION, "blanks": re.compile(r"\S+")}


@dataclass(frozen=True)
class Input:
    """A text to make a prediction for.

    Attributes:
        text: as it was given; of given words, the words with blanks between them.
        clean: what the model reads; may be empty.
        words: of a text for tagging, the first character of each word in `text`, and the one after its last.
        clean_words: the same in `clean`; a word that is empty after cleaning begins where it ends.
        document: the number of the document that the text is a part of, from 1.
        second, clean_second: the second text of a pair, as `text` and `clean` are the first; None of a single text.
    """

    text: str
    clean: str
    words: Spans | None
    clean_words: Spans | None
    document: int
    second: str | None = None
    clean_second: str | None = None

    @property
    def clean_texts(self) -> list[str]:
        """What the model reads: a text, or both of a pair."""
        return [self.clean] if self.clean_second is None else [self.clean, self.clean_second]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of a text, so that there is no prediction."""
        return not all(self.clean_texts)


def inputs(
    texts: Iterable[str | Labelled | Tagged], clean: Callable[[str], str], rule: WordRule | None
) -> Iterator[Input]:
    """Yields texts of a source as inputs, in their order; empty ones too.

    Args:
        clean: cleans a text, or a word of a text for tagging, as for training.
        rule: how texts without words of their own are split into words; None does not split them.
    """
    document = 0
    for raw in texts:
        document += not isinstance(raw, Tagged) or raw.opens_document or not document
        if isinstance(raw, Tagged) and rule is not None:
            text, words = raw.plain(str)
            cleaned, clean_words = raw.plain(clean)
            yield Input(text, cleaned, words, clean_words, document)
            continue
        if isinstance(raw, Labelled) and raw.second is not None:
            yield Input(raw.text, clean(raw.text), None, None, document, raw.second, clean(raw.second))
            continue
        text = " ".join(raw.words) if isinstance(raw, Tagged) else raw if isinstance(raw, str) else raw.text
        if rule is None:
            yield Input(text, clean(text), None, None, document)
            continue
        words = [match.span() for match in _WORDS[rule].finditer(text)]
        spelled = [text[first:last] for first, last in words]
        cleaned, clean_words = Tagged(spelled, ["O"] * len(words)).plain(clean)
        yield Input(text, cleaned, words, clean_words, document)
