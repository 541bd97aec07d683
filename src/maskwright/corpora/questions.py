"""Questions about contexts, whose answers are spans of characters of the contexts."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.core.errors import UserError
from maskwright.corpora.decoding import open_text

_NEAR = 50  # characters by which the place of an answer may be wrong, where the context holds it several times
_WANTED = 'the object {"text": [...], "answer_start": [...]}, or a list of {"text": ..., "answer_start": ...}'


@dataclass(frozen=True)
class Asked:
    """A question about a context.

    Attributes:
        answers: as they are spelled, one of which is to be found; none where the context does not hold the answer;
            None where the data does not say.
        starts: the first character of each answer in the context; None where the data does not say.
        id: the name of the question; "" if it has none.
        article: the text that the context is a part of; "" if that is unknown.
    """

    context: str
    question: str
    answers: tuple[str, ...] | None
    starts: tuple[int | None, ...] = ()
    id: str = ""
    article: str = ""

    @property
    def text(self) -> str:
        """What a limit is drawn by."""
        return f"{self.question} {self.context}"

    @property
    def group(self) -> str:
        """What its split is drawn by: all questions about an article, or about a context, are in one."""
        return self.article or self.context

    def __len__(self) -> int:
        return len(self.context) + len(self.question)

    def cleaned(self, clean: Callable[[str], str]) -> "Placed":
        """Returns the question with the places of its answers in the clean context."""
        context = clean(self.context)
        starts: list[int | None] = list(self.starts)
        if context != self.context:
            starts = [None if start is None else len(clean(self.context[: max(start, 0)])) for start in starts]
        places: list[tuple[int, int]] | None = None
        moved = 0
        if self.answers is not None:
            places = []
            for number, answer in enumerate(map(clean, self.answers)):
                said = starts[number] if number < len(starts) else None
                found = locate(context, answer, said)
                # a blank beside an answer may be cleaned away
                near = context != self.context and found is not None and said is not None and found - said in (0, 1)
                moved += found is not None and said is not None and found != said and not near
                places.append((-1, -1) if found is None else (found, found + len(answer)))
        return Placed(context, clean(self.question), places, moved)


@dataclass(frozen=True)
class Placed:
    """A clean question and its context.

    Attributes:
        places: the first character of each answer in the context and the one after its last; (-1, -1) of an answer
            that the context does not hold; None where the data says nothing of answers.
        moved: how many answers are not where the data says.
    """

    context: str
    question: str
    places: list[tuple[int, int]] | None
    moved: int


def locate(context: str, answer: str, start: int | None) -> int | None:
    """Returns where an answer begins in its context; None if that is unknown.

    An answer that is not where it is said to be is looked for: it is taken where the context holds it once, or
    nearest to that place, by at most 50 characters.
    """
    if not answer:
        return None
    if start is not None and start >= 0 and context.startswith(answer, start):
        return start
    places = []
    place = context.find(answer)
    while place >= 0:
        places.append(place)
        place = context.find(answer, place + 1)
    if len(places) == 1 or start is None:
        return places[0] if len(places) == 1 else None
    near = [place for place in places if abs(place - start) <= _NEAR]
    return min(near, key=lambda place: abs(place - start)) if near else None


def asked(values: Mapping[str, Any], columns: Mapping[str, str | int], where: str) -> Asked:
    """Returns a row of a data set as a question.

    Args:
        values: of the row, by the keys of the config that name their columns.
        columns: the names of the columns, by the same keys.
        where: the row, for messages.
    Raises:
        UserError: a value is of another kind.
    """
    for key in ("data.column", "data.question"):
        if not isinstance(values[key], str):
            raise UserError(f"{where} holds {values[key]!r:.40} in '{columns[key]}' ({key}), not text.")
    answers, starts = _answers(values["data.answers"], f"{where} holds {{}} in '{columns['data.answers']}'")
    named = (values.get(key) for key in ("data.id", "data.article"))
    return Asked(
        values["data.column"],
        values["data.question"],
        answers,
        starts,
        *("" if name is None else str(name) for name in named),
    )


def _answers(value: Any, holds: str) -> tuple[tuple[str, ...] | None, tuple[int | None, ...]]:
    """Returns the texts of answers and their places; see `Asked`."""
    if value is None:
        return None, ()
    refused = UserError(holds.format(f"{value!r:.60}") + f" (data.answers), where answers are expected: {_WANTED}.")
    if isinstance(value, str):  # of .csv
        if not value.strip():
            return (), ()
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            if value.lstrip()[:1] in ("{", "["):
                raise refused from None
            value = [value]
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start")
        texts = [texts] if isinstance(texts, str) else texts
        starts = [starts] if isinstance(starts, int) else starts
        if not isinstance(texts, list) or (starts is not None and not isinstance(starts, list)):
            raise refused
        value = [
            {"text": text, "answer_start": None if starts is None or number >= len(starts) else starts[number]}
            for number, text in enumerate(texts)
        ]
        if starts is not None and len(starts) != len(texts):
            raise refused
    if not isinstance(value, list):
        raise refused
    own: list[Any] = [{"text": answer} if isinstance(answer, str) else answer for answer in value]
    if not all(isinstance(answer, Mapping) and isinstance(answer.get("text"), str) for answer in own):
        raise refused
    begins = tuple(answer.get("answer_start") for answer in own)
    if not all(begin is None or (isinstance(begin, int) and not isinstance(begin, bool)) for begin in begins):
        raise refused
    return tuple(answer["text"] for answer in own), begins


def squad_rows(path: Path, encoding: str | None) -> Iterator[tuple[str, dict[str, Any]]] | None:
    """Returns the questions of a file in the format of SQuAD, each with its place; None if it is in another one.

    The file is one JSON object whose `data` is a list of articles with `paragraphs`, each a `context` with its
    questions, `qas` (Rajpurkar et al., 2016, arXiv:1606.05250; with `is_impossible`, 2018, arXiv:1806.03822).

    Raises:
        UserError: it lacks a part of that; when it is iterated.
    """
    with open_text(path, encoding) as file:
        try:
            whole = json.load(file)
        except json.JSONDecodeError:  # several objects, one in each line
            return None
    if not isinstance(whole, dict) or not isinstance(whole.get("data"), list):
        return None
    return _flattened(whole["data"], path)


def _flattened(articles: list[Any], path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    where = str(path)
    try:
        for number, article in enumerate(articles, 1):
            for place, paragraph in enumerate(article["paragraphs"], 1):
                where = f"{path}, article {number}, paragraph {place},"
                for asked in paragraph["qas"]:
                    where = f"{path}, article {number}, paragraph {place}, question '{asked.get('id')}',"
                    yield (
                        where,
                        {
                            "id": asked.get("id"),
                            "title": article.get("title"),
                            "context": paragraph["context"],
                            "question": asked["question"],
                            "answers": [] if asked.get("is_impossible") else asked.get("answers"),
                        },
                    )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{where} is not in the format of SQuAD: data is a list of articles with `paragraphs`, each with a "
            f"`context` and its `qas`. {type(error).__name__}: {error}"
        ) from None
