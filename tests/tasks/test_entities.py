"""Entities and their scores."""

import random

import conlleval
import pytest
import seqeval.metrics

from maskwright.corpora.entities import chunks, entity_scores

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["B-PER", "I-PER", "O"], {("PER", 0, 2)}),
        (["B-PER", "B-PER"], {("PER", 0, 1), ("PER", 1, 2)}),
        (["O", "I-PER", "I-LOC"], {("PER", 1, 2), ("LOC", 2, 3)}),
        (["B-PER", "I-LOC", "I-LOC"], {("PER", 0, 1), ("LOC", 1, 3)}),
        ([], set()),
    ],
)
def test_chunks_equal_those_of_conlleval(tags, expected):
    assert chunks(tags) == expected


def test_scores_equal_those_computed_by_hand():
    wanted = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O"]]
    predicted = [["B-PER", "O", "O", "B-LOC"], ["B-LOC", "B-PER"]]
    whole, scores = entity_scores(wanted, predicted)
    assert whole == {"precision": 2 / 4, "recall": 2 / 3, "f1": 4 / 7}
    assert scores["LOC"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert scores["PER"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_a_kind_may_be_named_all():
    whole, scores = entity_scores([["B-all", "B-LOC"]], [["B-all", "O"]])
    assert whole["recall"] == 1 / 2
    assert scores["all"]["recall"] == 1


@pytest.mark.parametrize("seed", range(20))
def test_scores_equal_those_of_conlleval(tmp_path, seed):
    """For random tags, valid or not. conlleval reads a file with a word, its tag and its prediction in each line."""
    draw = random.Random(seed)
    wanted, predicted = ([[draw.choice(TAGS) for _ in range(length)] for length in range(1, 15)] for _ in range(2))
    path = tmp_path / "output.txt"
    sentences = zip(wanted, predicted, strict=True)
    path.write_text("\n".join("".join(f"w {a} {b}\n" for a, b in zip(*pair, strict=True)) for pair in sentences))
    with path.open() as file:
        theirs = conlleval.evaluate(file)
    expected = {kind: slot["evals"] for kind, slot in theirs["slots"]["chunks"].items()}
    whole, scores = entity_scores(wanted, predicted)
    assert scores.keys() == expected.keys()
    pairs = [
        (whole, theirs["overall"]["chunks"]["evals"]),
        *((own, expected[kind]) for kind, own in scores.items()),
    ]
    for own, evals in pairs:
        assert list(own.values()) == pytest.approx([evals[key] for key in ("prec", "rec", "f1")])


@pytest.mark.parametrize("seed", range(20))
def test_scores_equal_those_of_seqeval(seed):
    """For random tags, valid or not."""
    draw = random.Random(seed)
    wanted, predicted = ([[draw.choice(TAGS) for _ in range(length)] for length in range(1, 12)] for _ in range(2))
    whole, scores = entity_scores(wanted, predicted)
    for name in ("precision", "recall", "f1"):
        theirs = getattr(seqeval.metrics, f"{name}_score")
        assert whole[name] == pytest.approx(theirs(wanted, predicted, zero_division=0))
        for kind, value in zip(
            ("LOC", "PER"), theirs(wanted, predicted, average=None, zero_division=0), strict=True
        ):
            assert scores[kind][name] == pytest.approx(value)
