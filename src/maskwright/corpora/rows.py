"""Rows of a source, in the columns that the config names, as texts with labels or tags."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from maskwright.core.errors import UserError, nearest
from maskwright.corpora.column_layout import DOCUMENT
from maskwright.corpora.labels import Labelled, Spelling, Tagged, label_of, tagged
from maskwright.corpora.questions import Asked, asked

Row = tuple[str, Sequence[object]]  # where it is, for messages, and its values in the columns that were asked for
Columns = Mapping[str, str | int]  # from keys of the config to names of columns, or to their numbers from 1

_MAY_LACK = ("data.id", "data.article")
_PAIRS = (  # columns of two texts, as published data sets name them
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text_a", "text_b"),
)


@dataclass(frozen=True)
class Format:
    """How files are written, as far as they do not say it themselves.

    Args:
        encoding: of the characters; None takes what a byte-order mark says, else UTF-8.
        delimiter: between the columns of .csv and .tsv; None takes what the first lines are in.
        header: whether the first line of .csv and .tsv names the columns; else they have numbers, from 1.
        unlabelled: whether the column of labels or tags may be missing.
    """

    encoding: str | None = None
    delimiter: str | None = None
    header: bool = True
    unlabelled: bool = False


def positions(
    columns: Columns, present: Iterable[str], where: str, unlabelled: bool = False, hint: str = ""
) -> list[int | None]:
    """Returns where the columns that the config names are among those that exist.

    It is None for labels, tags and answers that are missing, if they may be, and for names of questions and of
    articles that are.

    A number that is no name counts columns, from 1.

    Args:
        unlabelled: see `Format`.
        hint: the end of the message.
    Raises:
        UserError: a column does not exist; the message lists those that do.
    """
    present = list(present)
    found: list[int | None] = []
    for key, column in columns.items():
        name = str(column)
        if name in present:
            found.append(present.index(name))
        elif name.isdecimal() and 1 <= int(name) <= len(present):
            found.append(int(name) - 1)
        elif key in _MAY_LACK or (unlabelled and key in ("data.label", "data.tags", "data.answers")):
            found.append(None)
        else:
            pair = next((pair for pair in _PAIRS if {*pair} <= {*present}), None)
            if pair is not None and key == "data.column":
                hint = (
                    f" A text is read from one column; pairs of texts ({' and '.join(pair)}) cannot be read yet. "
                    "Take one of the two, or join them in one column."
                )
            listed = ", ".join(f"{name:.40}" for name in present)
            raise UserError(
                f"{where} has no column '{name}' ({key}).{nearest(name, present)} Its columns are: {listed}.{hint}"
            )
    return found


def as_text(value: object, column: str | int, where: str) -> str:
    """Returns a value of the column of texts; None is an empty text.

    Raises:
        UserError: the value is neither.
    """
    if isinstance(value, list):
        raise UserError(
            f"{where} holds a list in '{column}' (data.column), not text. Lists of words are read where data.tags "
            "names the column of their tags."
        )
    if value is not None and not isinstance(value, str):
        raise UserError(f"{where} holds {type(value).__name__} in '{column}' (data.column), not text.")
    return value or ""


def texts_of(
    rows: Iterable[Row],
    columns: Columns,
    class_names: Mapping[str, list[str]],
    spelling: Spelling,
    unlabelled: bool = False,
) -> Iterator[str | Labelled | Tagged | Asked]:
    """Yields rows as texts: with labels where `columns` names a label, as tagged words where it names tags, and as
    questions where it names those.

    The first tagged text opens a document, and so does each one after a row that holds `DOCUMENT` alone.

    Args:
        class_names: of labels that are stored as numbers, by key.
        unlabelled: whether labels may be missing, and lists of words are read too where `columns` names no tags.
    Raises:
        UserError: a row does not hold what `columns` says.
    """
    opens = True  # whether the next tagged text opens a document
    for where, (text, *value) in rows:
        if "data.tags" in columns and text == [DOCUMENT]:
            opens = True
        elif "data.question" in columns:
            yield asked(dict(zip(columns, (text, *value), strict=True)), columns, where)
        elif "data.tags" in columns:
            yield tagged(text, value[0], class_names.get("data.tags"), spelling, where, opens)
            opens = False
        elif "data.label" in columns:
            own = None if unlabelled and value[0] == "" else value[0]
            label = label_of(own, class_names.get("data.label"), where, spelling)
            yield Labelled(as_text(text, columns["data.column"], where), label)
        elif unlabelled and isinstance(text, list):
            yield tagged(text, None, None, spelling, where)
        else:
            yield as_text(text, columns["data.column"], where)
