"""Scores of answers to questions, as the official script of SQuAD computes them.

Rajpurkar et al., 2016 (arXiv:1606.05250), and 2018 (arXiv:1806.03822) for questions without an answer.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normal(answer: str) -> str:
    """Returns an answer in lower case, without ASCII punctuation and English articles, with single blanks."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_NO_PUNCTUATION)).split())


def exact(answer: str, gold: str) -> float:
    """Returns 1 if two answers are the same once they are `normal`, else 0."""
    return float(normal(answer) == normal(gold))


def f1(answer: str, gold: str) -> float:
    """Returns the F1 of the words of two answers; where one has no words, whether both have none."""
    own, other = normal(answer).split(), normal(gold).split()
    if not own or not other:
        return float(own == other)
    common = sum((Counter(own) & Counter(other)).values())
    return 2 * common / (len(own) + len(other))


def best_of(answer: str, golds: Sequence[str]) -> tuple[float, float]:
    """Returns exact match and F1 of an answer, each the best over its gold answers.

    Args:
        answer: "" says that there is no answer.
        golds: those with words count; if there are none, the question has no answer.
    """
    known = [gold for gold in golds if normal(gold)] or [""]
    return max(exact(answer, gold) for gold in known), max(f1(answer, gold) for gold in known)


def answer_scores(answers: Sequence[str], golds: Sequence[Sequence[str]]) -> np.ndarray:
    """Returns (Q, 2): exact match and F1 of each answer, see `best_of`."""
    return np.array([best_of(*pair) for pair in zip(answers, golds, strict=True)]).reshape(-1, 2)


def best_threshold(scores: np.ndarray, doubts: np.ndarray, answerable: np.ndarray) -> float:
    """Returns the doubt above which it is best to say that there is no answer, by the mean score.

    Args:
        scores: (Q,) of the answers, whatever the doubts; none scores 1 where there is no answer, else 0.
        doubts: (Q,) how much more likely no answer is than the best one.
        answerable: (Q,) bool.
    """
    order = np.argsort(doubts, kind="stable")
    # those up to a place in that order are answered, the others are not
    gains = np.concatenate([[0.0], np.cumsum(scores[order] - ~answerable[order])])
    ends = np.append(np.diff(doubts[order]) > 0, True)  # equal doubts are decided alike
    gains[1:][~ends] = -np.inf
    best = int(np.argmax(gains))
    if best == 0:
        return float(doubts[order[0]]) - 1.0 if len(doubts) else 0.0
    if best == len(doubts):
        return float(doubts[order[-1]])
    return float((doubts[order[best - 1]] + doubts[order[best]]) / 2)
