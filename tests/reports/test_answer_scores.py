"""Scores of answers, compared with an implementation of the official script and with cases by hand."""

import random

import numpy as np
import pytest
from torchmetrics.functional.text import squad

from maskwright.reports.answer_baselines import Asked, best_baseline
from maskwright.reports.answer_scores import answer_scores, best_of, best_threshold, exact, f1, normal

WORDS = "the a An cat, Cat dog. (dog) U.S. co-op 1,000 % — café théâtre the-cat".split()


def test_answers_are_compared_without_case_punctuation_and_articles():
    assert normal("The  U.S.-led co-op, an A!") == "usled coop"
    assert normal("théâtre — the cat’s") == "théâtre — cat’s"  # ASCII punctuation alone
    assert exact("the Cat.", "cat") == 1
    assert exact("cats", "cat") == 0
    assert f1("a big cat", "the cat sat") == pytest.approx(2 * 1 / (2 + 2))
    assert f1("cat cat dog", "cat") == pytest.approx(2 * 1 / (3 + 1))
    assert f1("dog", "cat") == 0


def test_questions_without_an_answer():
    assert best_of("", []) == (1, 1)
    assert best_of("cat", []) == (0, 0)
    assert best_of("", ["cat"]) == (0, 0)
    assert best_of("the", []) == (1, 1)  # nothing is left of it
    # a gold answer of which nothing is left does not count
    assert best_of("cat", ["the", "cat"]) == (1, 1)
    assert best_of("", ["the", "cat"]) == (0, 0)


def test_scores_are_those_of_the_official_script():
    draw = random.Random(0)

    def text() -> str:
        return " ".join(draw.choice(WORDS) for _ in range(draw.randrange(1, 6)))

    answers, golds = [], []
    while len(answers) < 300:
        answer, own = text(), [text() for _ in range(draw.randrange(1, 4))]
        if normal(answer) and all(map(normal, own)):  # the script for SQuAD 1 divides by their number of words
            answers.append(answer)
            golds.append(own)
    expected = squad(
        [{"prediction_text": answer, "id": str(n)} for n, answer in enumerate(answers)],
        [{"answers": {"text": own, "answer_start": [0] * len(own)}, "id": str(n)} for n, own in enumerate(golds)],
    )
    found = answer_scores(answers, golds).mean(0)
    assert 100 * found == pytest.approx([float(expected["exact_match"]), float(expected["f1"])], abs=1e-4)


def test_the_best_threshold_is_found():
    draw = np.random.default_rng(0)
    for _ in range(50):
        doubts = draw.integers(-3, 4, 12).astype(float)
        answerable = draw.random(12) < 0.5
        scores = np.where(answerable, draw.random(12), 0.0)

        def score(threshold, doubts=doubts, answerable=answerable, scores=scores) -> float:
            return float(np.where(doubts > threshold, ~answerable, scores).mean())

        best = max(score(threshold) for threshold in np.arange(-4, 5, 0.5))
        assert score(best_threshold(scores, doubts, answerable)) == pytest.approx(best)


def test_the_best_rule_of_training_is_a_baseline():
    def asked(number: int) -> Asked:
        context = f"Some filler stands here. The key of town {number} is code{number}. More filler stands there."
        return Asked(f"What is the key of town {number}?", context, [f"code{number}"])

    found = best_baseline([asked(n) for n in range(40)], [asked(n) for n in range(40, 50)])
    assert found.rule == "the last words of the sentence most like the question, 1 of them"
    assert (found.exact_match, found.f1) == (1, 1)
    none = best_baseline([asked(n)._replace(answers=[]) for n in range(9)], [asked(9)._replace(answers=[])])
    assert none == ("no answer", 1, 1)
    assert best_baseline([], []) is None
    assert best_baseline([Asked("Who?", "!!!", ["x"])], [Asked("Who?", "…", ["x"])]).f1 == 0
