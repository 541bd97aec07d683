"""What a row of a data set holds beside its text: a label, or a tag for each word."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from maskwright.core.errors import UserError, nearest
from maskwright.corpora.marks import Marks, Spans
from maskwright.corpora.tag_schemes import Iob2, Scheme, iob2, several, with_prefix

_WANTED = {  # what a tag of each scheme is, beside O
    "prefix": "B-… or I-…, nor E-… or S-… of IOBES",
    "suffix": "…-B or …-I as other tags are",
    "bare": "B or I as other tags are",
    "io": "nor the name of a kind of entity",
}


_TRUTH = ("True", "False", "TRUE", "FALSE")  # as Python and spreadsheets spell it
_HELD = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}  # a label, by its column
_WHOLE = re.compile(r"-?\d+\.0")


@dataclass(frozen=True)
class Spelling:
    """How the labels or tags of a source are spelled.

    Args:
        labels: those that may occur, tags in IOB2; None allows all.
        renamed: other names of labels, by the names that the data has.
        scheme: of tags; None is `prefix`.
    """

    labels: Sequence[str] | None = None
    renamed: Mapping[str, str] | None = None
    scheme: Scheme | None = None


ANY = Spelling()


@dataclass(frozen=True)
class Labelled:
    """A text, or a pair of texts, and its label as it is spelled; None where it has none.

    Attributes:
        second: the second text of a pair; None of a single text.
        labels: of a text that may have several; None where it has one label, or is not labelled.
    """

    text: str
    label: str | None
    second: str | None = None
    labels: tuple[str, ...] | None = None

    @property
    def texts(self) -> list[str]:
        """The text, or both texts of a pair."""
        return [self.text] if self.second is None else [self.text, self.second]

    def __len__(self) -> int:
        return len(self.text) + len(self.second or "")


@dataclass(frozen=True)
class Tagged:
    """The words of a text and their tags.

    Attributes:
        tags: in IOB2: O, or B- or I- and a kind; as they are spelled where they are no entities (see `Scheme`);
            None where the data has none.
        opens_document: whether a document of several texts begins with this one, as far as the data set says.
        strays, opened: see `Iob2`.
        document: the number of the document that this text is a part of; readers leave it at 0.
        cut: whether only the end of a sentence parts it from the text before it.
    """

    words: list[str]
    tags: list[str] | None
    opens_document: bool = False
    strays: int = 0
    opened: int = 0
    document: int = 0
    cut: bool = False

    def __len__(self) -> int:
        return sum(map(len, self.words)) + len(self.words)

    def plain(self, clean: Callable[[str], str]) -> tuple[str, Spans]:
        """Returns the cleaned words with blanks between them, and the span of characters of each.

        The span of a word that is empty after cleaning is empty too.
        """
        words: Spans = []
        text = ""
        for word in map(clean, self.words):
            start = len(text) + bool(text and word)
            text = f"{text} {word}" if text and word else text + word
            words.append((start, len(text)))
        return text, words


def marks(words: Spans, tags: Sequence[str] | None) -> Marks:
    """Returns the words of a text as its marks, and the spans that their IOB2 tags describe, if any."""
    if tags is None:
        return Marks(words, None)
    entities: Spans = []
    lost = False  # the first word of an entity, so that the next one opens it
    for (first, last), tag in zip(words, tags, strict=True):
        if first == last:
            lost = lost or tag.startswith("B-")
            continue
        if tag.startswith("B-") or (tag.startswith("I-") and lost):
            entities.append((first, last))
        elif tag.startswith("I-") and entities:
            entities[-1] = (entities[-1][0], last)
        lost = False
    return Marks(words, entities)


def kinds_of(tags: Iterable[str]) -> list[str]:
    """Returns the kinds of entities that tags name, sorted, each once."""
    return sorted({tag[2:] for tag in tags if tag != "O"})


def tagged(
    words: object,
    tags: object,
    names: list[str] | None,
    spelling: Spelling,
    where: str,
    opens_document: bool = False,
    word_at: Callable[[int], str] | None = None,
) -> Tagged:
    """Returns a row of a data set as a text of tagged words.

    Args:
        tags: of the words; None if the row has none.
        names: of the tags where they are numbers.
        where: the row, for messages.
        opens_document: see `Tagged`.
        word_at: returns the place of a word in the row, by its number, for messages; None uses `where` for all.
    Raises:
        UserError: the row does not hold as many words as tags, a tag is not of the scheme or not allowed, or a word
            is not text.
    """
    unlabelled = tags is None and isinstance(words, list)
    if unlabelled:
        tags, names, spelling = ["O"] * len(words), None, ANY  # type: ignore[arg-type]
    if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags):
        raise UserError(
            f"{where} does not hold a list of words (data.column) and as many tags (data.tags), but "
            f"{words!r:.60} and {tags!r:.60}."
        )
    at = word_at or (lambda _: where)
    own = [_named(tag, names, at(number)) for number, tag in enumerate(tags)]
    found = _converted(own, spelling.scheme or "prefix", at)
    allowed = spelling.labels
    for number, tag in enumerate(found.tags):
        if allowed is not None and tag not in allowed:
            raise UserError(
                f"{at(number)} has the tag '{tag}' (data.tags), which data.labels does not name."
                f"{nearest(tag, allowed)} The tags are: {', '.join(allowed)}."
            )
    for word in words:
        if not isinstance(word, str):
            raise UserError(f"{where} holds {word!r:.40} where a word is expected (data.column): a text.")
    return Tagged(words, None if unlabelled else found.tags, opens_document, found.strays, found.opened)


def _converted(spelled: list[str], scheme: Scheme, at: Callable[[int], str]) -> Iob2:
    """Returns tags in IOB2, or as they are if they are `plain`.

    Args:
        at: returns the place of a word, by its number.
    Raises:
        UserError: a tag is not of the scheme.
    """
    if scheme == "plain":
        return Iob2(spelled, 0, 0)
    tags = []
    for number, tag in enumerate(spelled):
        if several(tag):
            raise UserError(
                f"{at(number)} has several tags, joined as in '{tag}' (data.tags), but one tag for each word is "
                "learned. Keep one of them, or choose another column."
            )
        if (found := with_prefix(tag, scheme)) is None:
            raise UserError(
                f"{at(number)} has the tag '{tag}' (data.tags), which is not O, {_WANTED[scheme]}. Choose another "
                "column (data.tags), or data.scheme=plain for tags that are no entities."
            )
        tags.append(found)
    return iob2(tags)


def label_of(value: object, names: list[str] | None, where: str, spelling: Spelling = ANY) -> str | None:
    """Returns a label as it is spelled; None where a row has none.

    Where labels are numbers of names, -1 stands for none; among numbers NaN does too, which is how pandas writes
    gaps.

    Args:
        names: of the labels where they are numbers.
        where: the row, for messages.
    Raises:
        UserError: the label is not allowed, or neither text nor number.
    """
    if value is None or (names and value == -1) or (isinstance(value, float) and math.isnan(value)):
        return None
    label = _named(value.strip() if isinstance(value, str) else value, names, where)
    if not label:
        raise UserError(f"{where} has an empty label (data.label).")
    label = (spelling.renamed or {}).get(label, label)
    allowed = spelling.labels
    if allowed is not None and label not in allowed:
        raise UserError(
            f"{where} has the label '{label}' (data.label), which data.labels does not name."
            f"{nearest(label, allowed)} The labels are: {', '.join(allowed)}."
        )
    return label


def labels_of(
    values: Sequence[object], columns: Sequence[str | int], where: str, spelling: Spelling = ANY
) -> tuple[str, ...] | None:
    """Returns the labels of a text whose columns say of each whether it has it; None if all are missing or -1.

    Args:
        values: 1 or true where it has the label, 0 or false where it has not.
        columns: the names of the columns, which are those of the labels.
        where: the row, for messages.
    Raises:
        UserError: a value is none of these.
    """
    known = [_HELD.get(str(value).strip().lower()) for value in values]
    if not any(held is not None for held in known) and all(_is_missing(value) for value in values):
        return None
    for held, value, column in zip(known, values, columns, strict=True):
        if held is None:
            raise UserError(
                f"{where} holds {value!r:.40} in '{column}' (data.label). Columns of several labels hold 1 where a "
                "text has the label, and 0 where it has not."
            )
    renamed = spelling.renamed or {}
    return tuple(renamed.get(str(column), str(column)) for column, held in zip(columns, known, strict=True) if held)


def _is_missing(value: object) -> bool:
    return value in (None, "", -1, "-1") or (isinstance(value, float) and math.isnan(value))


def _named(value: object, names: list[str] | None, where: str) -> str:
    if not isinstance(value, (str, int, float)):
        raise UserError(f"{where} holds {value!r:.40} where a label is expected: a text or a number.")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if names and isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < len(names):
            raise UserError(f"{where} has the label {value}, but there are {len(names)}: {', '.join(names)}.")
        value = names[value]
    return spelled(value)


def spelled(label: str | int | float) -> str:
    """Returns a label as it is spelled whatever the format: `true`, `false`, and whole numbers without a fraction.

    Python and pandas write True into .csv where JSON has true, and 1.0 for 1 where a column has gaps.
    """
    if isinstance(label, bool) or label in _TRUTH:
        return str(label).lower()
    text = str(label)
    return text[:-2] if _WHOLE.fullmatch(text) else text
