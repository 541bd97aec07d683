"""Answers of a fixed number of words, which need no model: what answers of a model are compared with."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from maskwright.reports.answer_scores import answer_scores

_LENGTHS = range(1, 9)  # words of an answer
_MOST = 1000  # questions that a rule is chosen by
_WORD = re.compile(r"\w(?:[\w'’.,-]*\w)?")
_SENTENCE = re.compile(r"[.!?]+[\"')\]]*\s+")


class Asked(NamedTuple):
    """A question about a context, and its gold answers."""

    question: str
    context: str
    answers: Sequence[str]


@dataclass(frozen=True)
class _Read:
    """A context with its words, and the sentence that shares most with a question.

    Attributes:
        spans: the first character of each word, and the one after its last.
        weights: (W,) how rare each word is among the contexts; 0 of words of the question.
        first, last: the words of the sentence, from `first` to before `last`.
    """

    context: str
    spans: list[tuple[int, int]]
    weights: np.ndarray
    asked: np.ndarray
    first: int
    last: int

    def answer(self, begin: int, length: int) -> str:
        """Returns `length` words from the word `begin` on."""
        begin = max(min(begin, len(self.spans) - length), 0)
        end = min(begin + length, len(self.spans))
        return self.context[self.spans[begin][0] : self.spans[end - 1][1]] if self.spans else ""


def _after_shared(read: _Read, length: int) -> int:
    shared = np.flatnonzero(read.asked[read.first : read.last])
    return read.first + (int(shared[-1]) + 1 if len(shared) else 0)


def _rarest(read: _Read, length: int) -> int:
    """The run of words of the sentence that are rarest and not in the question."""
    if read.last - read.first < length:
        return read.first
    sums = np.convolve(read.weights[read.first : read.last], np.ones(length), "valid")
    return read.first + int(sums.argmax())


RULES: dict[str, Callable[[_Read, int], int]] = {
    "the first words of the context": lambda read, length: 0,
    "the first words of the sentence most like the question": lambda read, length: read.first,
    "the last words of the sentence most like the question": lambda read, length: read.last - length,
    "the words after the last one of the question in the sentence most like it": _after_shared,
    "the rarest words in the sentence most like the question": _rarest,
}


class AnswerBaseline(NamedTuple):
    """A rule that answers with a fixed number of words, and its scores.

    Attributes:
        rule: in words.
        exact_match, f1: on the questions that it was scored on.
    """

    rule: str
    exact_match: float
    f1: float


def best_baseline(training: Sequence[Asked], scored: Sequence[Asked]) -> AnswerBaseline | None:
    """Returns the rule with the best F1 on training questions, with its scores on others; None without questions.

    Where most questions have no answer, never to answer is a rule too.
    """
    chosen = training[:: max(len(training) // _MOST, 1)]
    if not chosen or not scored:
        return None
    reads, golds = _read(chosen), [asked.answers for asked in chosen]
    found = {
        (name, length): answer_scores([own.answer(rule(own, length), length) for own in reads], golds)[:, 1].mean()
        for name, rule in RULES.items()
        for length in _LENGTHS
    }
    name, length = max(found, key=lambda key: found[key])
    golds = [asked.answers for asked in scored]
    if np.mean([not asked.answers for asked in chosen]) >= found[name, length]:
        said, answers = "no answer", [""] * len(scored)
    else:
        said = f"{name}, {length} of them"
        answers = [own.answer(RULES[name](own, length), length) for own in _read(scored)]
    exact_match, f1 = answer_scores(answers, golds).mean(0).tolist()
    return AnswerBaseline(said, exact_match, f1)


def _read(questions: Sequence[Asked]) -> list[_Read]:
    counts: Counter[str] = Counter()
    contexts = {asked.context for asked in questions}
    for context in contexts:
        counts.update({*_words(context)})
    rarity = {word: math.log((1 + len(contexts)) / number) for word, number in counts.items()}
    return [_read_one(asked, rarity) for asked in questions]


def _words(text: str) -> Iterable[str]:
    return (word.lower() for word in _WORD.findall(text))


def _read_one(asked: Asked, rarity: dict[str, float]) -> _Read:
    context, of_question = asked.context, {*_words(asked.question)}
    spans = [match.span() for match in _WORD.finditer(context)]
    words = [context[begin:end].lower() for begin, end in spans]
    is_asked = np.array([word in of_question for word in words], bool)
    weights = np.array([rarity.get(word, 0.0) for word in words])
    starts = [0, *(match.end() for match in _SENTENCE.finditer(context))]
    sentence = np.searchsorted(starts, [begin for begin, _ in spans], side="right") - 1
    likeness = np.zeros(len(starts))
    for number in range(len(starts)):
        own = {
            word: weight
            for word, weight, is_own in zip(words, weights, is_asked & (sentence == number), strict=True)
            if is_own
        }
        likeness[number] = sum(own.values())
    inside = np.flatnonzero(sentence == int(likeness.argmax()))
    first, last = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, len(spans))
    return _Read(context, spans, np.where(is_asked, 0.0, weights), is_asked, first, last)
