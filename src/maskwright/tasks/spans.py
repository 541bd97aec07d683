"""From scores of where an answer begins and ends to the best answers of a question.

Shapes: B rows, T positions, N spans of a row, R rows of all questions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Candidates(NamedTuple):
    """The best spans of rows, as tensors or arrays.

    Attributes:
        begins, ends: (B, N) int64, the positions of the first and the last token of each span.
        scores: (B, N) the sum of the two logits, in falling order; -inf where a row has fewer spans.
        nothing: (B,) the sum of the logits of [CLS], which says that the row has no answer.
        total: (B,) the log of the sum of exp(score) over all spans of the row.
    """

    begins: Tensor
    ends: Tensor
    scores: Tensor
    nothing: Tensor
    total: Tensor


def best_spans(logits: Tensor, allowed: Tensor, longest: int, number: int) -> Candidates:
    """Returns the best spans of each row.

    Args:
        logits: (B, T, 2) of where an answer begins and ends.
        allowed: (B, T) bool, where it may: [CLS], which is no part of a span, and the tokens of the context.
        longest: the most tokens of a span.
        number: N.
    """
    begins, ends = logits.float().unbind(-1)
    nothing = begins[:, 0] + ends[:, 0]
    inside = allowed.clone()
    inside[:, 0] = False
    begins, ends = (own.masked_fill(~inside, -torch.inf) for own in (begins, ends))
    length = begins.shape[1]
    longest = min(longest, length)
    after = torch.nn.functional.pad(ends, (0, longest - 1), value=-torch.inf).unfold(1, longest, 1)
    scores = (begins[..., None] + after).flatten(1)  # (B, T * longest)
    best = scores.topk(min(number, scores.shape[1]))
    lacking = number - best.values.shape[1]
    values = torch.nn.functional.pad(best.values, (0, lacking), value=-torch.inf)
    places = torch.nn.functional.pad(best.indices, (0, lacking))
    first = places // longest
    return Candidates(first, first + places % longest, values, nothing, scores.logsumexp(1))


class Answer(NamedTuple):
    """A span of a context, or none.

    Attributes:
        begin, end: the first and the last token in the context; -1 says that there is no answer.
        score: the sum of the logits of both.
        probability: of the answer, among all spans of the context and none.
    """

    begin: int
    end: int
    score: float
    probability: float


class Answers(NamedTuple):
    """The best answers to a question.

    Attributes:
        best: spans that do not overlap, the best first.
        nothing: that there is no answer.
    """

    best: list[Answer]
    nothing: Answer

    @property
    def doubt(self) -> float:
        """How much higher the score of no answer is than that of the best one."""
        return self.nothing.score - self.best[0].score if self.best else np.inf

    def chosen(self, threshold: float | None) -> Answer:
        """Returns the best answer, or none where the doubt is above a threshold; None always answers."""
        return self.nothing if not self.best or (threshold is not None and self.doubt > threshold) else self.best[0]


def answers_of(candidates: Candidates, shifts: np.ndarray, number: int) -> Answers:
    """Returns the best answers to a question from the rows that show it.

    A row that says that it has no answer says so of its window alone, so that the row that is least sure of it
    decides, as in BERT's code for SQuAD 2 (Devlin et al., 2019, arXiv:1810.04805).

    Args:
        candidates: of these rows, as arrays.
        shifts: (R,) see `QuestionRows.read`.
        number: of answers.
    """
    nothing = float(candidates.nothing.min())
    total = float(np.logaddexp.reduce(np.append(np.asarray(candidates.total, np.float64), nothing)))
    row, place = np.nonzero(np.isfinite(candidates.scores))
    scores = np.asarray(candidates.scores)[row, place].astype(np.float64)
    begins = np.asarray(candidates.begins)[row, place] - shifts[row]
    ends = np.asarray(candidates.ends)[row, place] - shifts[row]
    found: list[Answer] = []
    for i in np.lexsort((ends, begins, -scores)).tolist():
        if len(found) == number:
            break
        begin, end = int(begins[i]), int(ends[i])
        if all(end < other.begin or begin > other.end for other in found):
            found.append(Answer(begin, end, float(scores[i]), float(np.exp(scores[i] - total))))
    return Answers(found, Answer(-1, -1, nothing, float(np.exp(nothing - total))))


def by_question(questions: np.ndarray) -> Sequence[tuple[int, np.ndarray]]:
    """Returns each question with the rows that show it, in the order of their numbers.

    Args:
        questions: (R,) the question of each row.
    """
    order = np.argsort(questions, kind="stable")
    own, first = np.unique(questions[order], return_index=True)
    return list(zip(own.tolist(), np.split(order, first[1:]), strict=True))
