"""Questions as rows of tokens: windows, targets, and the places of tokens in their texts."""

import numpy as np
import pytest

from maskwright.data.question_rows import (
    QuestionRows,
    Questions,
    answer_text,
    question_rows_of_texts,
    question_windows,
)
from maskwright.text.tokenizer import Trained
from tests.texts import make_text


@pytest.fixture(scope="module")
def tokenizer():
    return Trained("wordpiece", 200, lowercase=True).make(lambda: iter([[make_text(seed) for seed in range(50)]]))


@pytest.mark.parametrize("stride", [0, 2, 4])
def test_windows_show_every_token_and_share_the_stride(stride):
    lengths, rooms = np.array([0, 3, 5, 6, 23]), np.array([5, 5, 5, 5, 6])
    question, begins = question_windows(lengths, rooms, stride)
    for number in range(len(lengths)):
        own = begins[question == number]
        assert own[0] == 0
        assert (np.diff(own) == rooms[number] - stride).all()
        assert own[-1] + rooms[number] >= lengths[number]
        assert len(own) == 1 or own[-2] + rooms[number] < lengths[number]  # none shows nothing new


def test_rows_show_the_question_and_a_window_with_the_answer(tokenizer):
    context = " ".join(make_text(seed) for seed in range(3))
    question = "what is the name of the old fisher who is in town"
    shown = {"block_size": 24, "stride": 4, "longest_question": 8}
    rows = question_rows_of_texts([question], [context], tokenizer, shown)
    (ids, _, offsets), (asked, *_) = tokenizer.encode([context, question], offsets=True)
    answer = (7, 9)  # tokens
    place = np.array([[offsets[7, 0], offsets[9, 1]]])
    questions = Questions(rows.questions.documents, rows.questions.contexts, ["x"], [["a"]], place)
    rows = QuestionRows(questions, rows.tokens, tokenizer, {}, rows.edges, **shown)
    assert rows.targets_of_questions.tolist() == [[7, 9]]
    assert answer_text(context, *rows.characters(0, *answer))[0] == context[offsets[7, 0] : offsets[9, 1]].strip()
    batch = rows.read(np.arange(len(rows)), np.zeros(len(rows), np.int64))
    assert (rows.lengths <= 24).all()
    covered = set()
    for row in range(len(rows)):
        length = rows.lengths[row]
        own = batch["input_ids"][row, :length]
        assert own[0] == tokenizer.cls_id
        assert own[1:9].tolist() == asked[:8].tolist()
        assert own[9] == own[-1] == tokenizer.sep_id
        first = 10 - batch["shifts"][row]
        assert own[10:-1].tolist() == ids[first : first + length - 11].tolist()
        assert np.flatnonzero(batch["allowed"][row]).tolist() == [0, *range(10, length - 1)]
        assert batch["words"][row, 9] == -1
        covered |= set(range(first, first + length - 11))
        begin, end = batch["targets"][row]
        if first <= 7 and first + length - 11 > 9:
            assert (begin - batch["shifts"][row], end - batch["shifts"][row]) == answer
        else:
            assert (begin, end) == (0, 0)
    assert covered == set(range(len(ids)))


def test_questions_whose_answer_is_lost_are_not_trained_on(tokenizer):
    rows = question_rows_of_texts(
        ["who", "where"], ["ada came", "to town"], tokenizer, {"block_size": 24, "stride": 2, "longest_question": 8}
    )
    own = rows.questions
    questions = Questions(own.documents, own.contexts, ["", ""], [["x"], []], own.places)
    kept = QuestionRows(questions, rows.tokens, tokenizer, {}, rows.edges, 24, 2, 8, trained=True)
    assert kept.documents.tolist() == [1]
    assert kept.known.tolist() == [False, True]
