"""Rows of a source, in the columns that the config names, as texts with labels or tags."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from maskwright.core.errors import UserError, nearest
from maskwright.corpora.column_layout import DOCUMENT
from maskwright.corpora.labels import Labelled, Spelling, Tagged, label_of, labels_of, tagged
from maskwright.corpora.questions import Asked, asked

Row = tuple[str, Sequence[object]]  # where it is, for messages, and its values in the columns that were asked for
Columns = Mapping[str, str | int]  # from keys of the config to names of columns, or to their numbers from 1
SECOND = "data.column, the second"  # the key of the second text of a pair
ONE_OF_SEVERAL = "data.label: "  # what the keys of several columns of labels begin with

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
        elif key in _MAY_LACK or (unlabelled and key.startswith(("data.label", "data.tags", "data.answers"))):
            found.append(None)
        else:
            pair = next((pair for pair in _PAIRS if {*pair} <= {*present}), None)
            if pair is not None and key == "data.column":
                hint = f" Pairs of texts are read from two columns: data.column=[{','.join(pair)}]"
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


def listed(columns: Sequence[str | int]) -> str:
    """Returns columns as a list is typed on the command line."""
    return f"[{','.join(map(str, columns))}]"


def columns_of(
    column: str | int | Sequence[str | int],
    label: str | int | Sequence[str | int] | None = None,
    tags: str | int | None = None,
) -> dict[str, str | int]:
    """Returns the columns that a source names, by their keys, as `texts_of` takes them.

    Args:
        column: of the text, or the two of a pair.
        label: of the label, or the columns of several, each of which says whether a text has it.
    """
    first, *second = column if isinstance(column, (list, tuple)) else [column]
    several = label if isinstance(label, (list, tuple)) else []
    single = None if isinstance(label, (list, tuple)) else label
    named = {
        "data.column": first,
        SECOND: second[0] if second else None,
        "data.label": single,
        **{f"{ONE_OF_SEVERAL}{one}": one for one in several},
        "data.tags": tags,
    }
    return {key: own for key, own in named.items() if own is not None}


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
        columns: see `columns_of`.
        class_names: of labels that are stored as numbers, by key.
        unlabelled: whether labels may be missing, and lists of words are read too where `columns` names no tags.
    Raises:
        UserError: a row does not hold what `columns` says.
    """
    if "data.tags" in columns:
        yield from _tagged_texts(rows, class_names, spelling)
        return
    if "data.question" in columns:
        yield from (asked(dict(zip(columns, values, strict=True)), columns, where) for where, values in rows)
        return
    several = [column for key, column in columns.items() if key.startswith(ONE_OF_SEVERAL)]
    names = class_names.get("data.label")
    for where, (text, *values) in rows:
        if len(columns) == 1 and unlabelled and isinstance(text, list):
            yield tagged(text, None, None, spelling, where)
            continue
        first = as_text(text, columns["data.column"], where)
        if len(columns) == 1:
            yield first
            continue
        second = as_text(values.pop(0), columns[SECOND], where) if SECOND in columns else None
        if several:
            yield Labelled(first, None, second, labels_of(values, several, where, spelling))
        elif not values:
            yield Labelled(first, None, second)
        elif isinstance(values[0], list):
            own = [label_of(value, names, where, spelling) for value in values[0]]
            yield Labelled(first, None, second, tuple(dict.fromkeys(label for label in own if label is not None)))
        else:
            label = None if unlabelled and values[0] == "" else label_of(values[0], names, where, spelling)
            yield Labelled(first, label, second)


def _tagged_texts(
    rows: Iterable[Row], class_names: Mapping[str, list[str]], spelling: Spelling
) -> Iterator[Tagged]:
    opens = True  # whether the next text opens a document
    for where, (words, tags) in rows:
        if words == [DOCUMENT]:
            opens = True
        else:
            yield tagged(words, tags, class_names.get("data.tags"), spelling, where, opens)
            opens = False
