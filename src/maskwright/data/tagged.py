"""Documents that come as words with a tag each, such as CoNLL-2003's."""

from collections.abc import Callable
from dataclasses import dataclass

from maskwright.errors import UserError
from maskwright.text.annotations import Spans


@dataclass(frozen=True)
class Tagged:
    """The words of a document, and their tags: O, or B- or I- and a kind (IOB, Ramshaw and Marcus, 1995)."""

    words: list[str]
    tags: list[str]

    def __len__(self) -> int:
        return sum(map(len, self.words)) + len(self.words)

    def plain(self, clean: Callable[[str], str]) -> tuple[str, Spans]:
        """The cleaned words between blanks, and the characters of each tagged span of them."""
        spans: Spans = []
        text, before = "", "O"
        for word, tag in zip(self.words, self.tags, strict=True):
            word = clean(word)
            if not word:
                continue
            start = len(text) + bool(text)
            text = f"{text} {word}" if text else word
            if tag != "O":
                goes_on = tag.startswith("I-") and before[2:] == tag[2:]
                if goes_on and spans:
                    spans[-1] = (spans[-1][0], len(text))
                else:
                    spans.append((start, len(text)))
            before = tag
        return text, spans


def tagged(words: object, tags: object, names: list[str] | None, where: str, columns: tuple[str, str]) -> Tagged:
    """A row of a data set as a document.

    Args:
        names: of the tags where they are numbers.
        where: the data set, for messages.
        columns: of the words and the tags.
    Raises:
        UserError: the columns do not hold as many words as tags, or a tag is not IOB.
    """
    if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags):
        raise UserError(
            f"{where}: a row of '{columns[0]}' (data.column) and '{columns[1]}' (data.tags) does not hold a "
            f"list of words and as many tags, but {words!r:.60} and {tags!r:.60}."
        )
    spelled = [names[tag] if names else str(tag) for tag in tags]
    for tag in spelled:
        if tag != "O" and tag[:2] not in ("B-", "I-"):
            raise UserError(
                f"{where} has the tag '{tag}' in '{columns[1]}' (data.tags), which is not O, B-… or I-…."
            )
    return Tagged([str(word) for word in words], spelled)
