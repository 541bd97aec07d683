"""The best spans of rows and of questions, compared with all spans one by one."""

import numpy as np
import pytest
import torch

from maskwright.tasks.spans import Candidates, answers_of, best_spans, by_question


def all_spans(logits, allowed, longest):
    places = [p for p in range(1, len(allowed)) if allowed[p]]
    return {(a, b): float(logits[a, 0] + logits[b, 1]) for a in places for b in places if a <= b < a + longest}


@pytest.mark.parametrize("longest", [1, 3, 40])
def test_the_best_spans_of_a_row(longest):
    torch.manual_seed(0)
    logits = torch.randn(5, 11, 2)
    allowed = torch.zeros(5, 11, dtype=torch.bool)
    allowed[:, 0] = True
    for row, (first, last) in enumerate([(4, 11), (3, 9), (5, 6), (4, 4), (10, 11)]):
        allowed[row, first:last] = True
    found = best_spans(logits, allowed, longest, 6)
    for row in range(5):
        spans = all_spans(logits[row], allowed[row], longest)
        best = sorted(spans.items(), key=lambda item: -item[1])[:6]
        own = [
            ((int(a), int(b)), float(s))
            for a, b, s in zip(found.begins[row], found.ends[row], found.scores[row], strict=True)
            if torch.isfinite(s)
        ]
        assert [span for span, _ in own] == [span for span, _ in best]
        assert [score for _, score in own] == pytest.approx([score for _, score in best])
        assert float(found.nothing[row]) == pytest.approx(float(logits[row, 0].sum()))
        if spans:
            assert float(found.total[row]) == pytest.approx(float(torch.tensor(list(spans.values())).logsumexp(0)))


def test_answers_are_the_best_over_all_windows():
    torch.manual_seed(1)
    logits = torch.randn(2, 9, 2)
    allowed = torch.ones(2, 9, dtype=torch.bool)
    allowed[:, 1:3] = False
    found = best_spans(logits, allowed, 3, 30)
    shifts = np.array([3, 3 - 4])  # the second window begins at token 4
    arrays = Candidates(*(own.numpy() for own in found))
    answers = answers_of(arrays, shifts, 3)
    spans = {}
    for row in range(2):
        for (a, b), score in all_spans(logits[row], allowed[row], 3).items():
            spans.setdefault((a - shifts[row], b - shifts[row]), []).append(score)
    nothing = float(logits[:, 0].sum(1).min())
    everything = np.logaddexp.reduce([nothing, *(score for own in spans.values() for score in own)])
    best = max(spans, key=lambda span: max(spans[span]))
    assert (answers.best[0].begin, answers.best[0].end) == best
    assert answers.best[0].score == pytest.approx(max(spans[best]), abs=1e-5)
    assert answers.best[0].probability == pytest.approx(np.exp(max(spans[best]) - everything), abs=1e-5)
    assert answers.nothing.score == pytest.approx(nothing, abs=1e-5)
    assert answers.doubt == pytest.approx(nothing - max(spans[best]), abs=1e-5)
    tokens = [set(range(own.begin, own.end + 1)) for own in answers.best]
    assert sum(map(len, tokens)) == len(set().union(*tokens))
    assert answers.chosen(None) == answers.best[0]
    assert answers.chosen(answers.doubt - 0.1) == answers.nothing
    assert answers.chosen(answers.doubt + 0.1) == answers.best[0]


def test_rows_are_gathered_by_question():
    found = by_question(np.array([2, 0, 2, 1, 0]))
    assert [(question, rows.tolist()) for question, rows in found] == [(0, [1, 4]), (1, [3]), (2, [0, 2])]


def test_a_context_without_tokens_has_no_answer():
    allowed = torch.zeros(1, 4, dtype=torch.bool)
    allowed[:, 0] = True
    found = best_spans(torch.randn(1, 4, 2), allowed, 3, 2)
    answers = answers_of(Candidates(*(own.numpy() for own in found)), np.array([3]), 2)
    assert answers.best == []
    assert answers.chosen(None) == answers.nothing
