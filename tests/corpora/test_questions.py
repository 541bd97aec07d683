"""Questions as they are written in files, and answers that are looked for in their contexts."""

import json

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora.questions import Asked, asked, locate, squad_rows

COLUMNS = {"data.column": "context", "data.question": "question", "data.answers": "answers", "data.id": "id"}


@pytest.mark.parametrize(
    ("answer", "start", "found"),
    [
        ("Rome", 8, 8),
        ("Rome", 9, 8),  # the only one that is near
        ("Rome", None, None),  # there are two
        ("Oslo", None, 24),  # the only one
        ("Oslo", 0, 24),
        ("Rome", -1, 8),
        ("Paris", 3, None),
        ("", 3, None),
    ],
)
def test_answers_are_looked_for(answer, start, found):
    context = "Ada saw Rome. Kurt left Oslo." + " Nobody came." * 6 + " Rome slept."
    assert locate(context, answer, start) == found


def test_answers_follow_their_contexts_through_cleaning():
    own = Asked("Ada  was born\tin  Rome.", "Where  was she?", (" in  Rome",), (13,))
    found = own.cleaned(lambda text: " ".join(text.split()))
    assert found.context == "Ada was born in Rome."
    [(begin, end)] = found.places
    assert found.context[begin:end] == "in Rome"
    assert found.moved == 0


@pytest.mark.parametrize(
    ("given", "answers", "starts"),
    [
        ({"text": ["a", "b"], "answer_start": [1, 2]}, ("a", "b"), (1, 2)),
        ({"text": [], "answer_start": []}, (), ()),
        ([{"text": "a", "answer_start": 1}], ("a",), (1,)),
        (["a"], ("a",), (None,)),
        ('{"text": ["a"], "answer_start": [1]}', ("a",), (1,)),
        ("a", ("a",), (None,)),
        ("", (), ()),
        (None, None, ()),
    ],
)
def test_answers_are_written_in_many_ways(given, answers, starts):
    values = {"data.column": "c", "data.question": "q", "data.answers": given, "data.id": 7}
    found = asked(values, COLUMNS, "x, line 1,")
    assert (found.answers, found.starts, found.id) == (answers, starts, "7")


@pytest.mark.parametrize(
    "given", [3, {"texts": []}, "{'text': array(['a'])}", [{"text": 1}], {"text": ["a"], "answer_start": ["1"]}]
)
def test_other_answers_are_refused(given):
    values = {"data.column": "c", "data.question": "q", "data.answers": given, "data.id": None}
    with pytest.raises(UserError, match=r"x, line 1, holds .* in 'answers' \(data.answers\), where answers are"):
        asked(values, COLUMNS, "x, line 1,")


def test_files_of_squad_are_told_from_others(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"context": "c"}\n{"context": "d"}\n')
    assert squad_rows(path, None) is None
    path.write_text('{"context": "c"}')
    assert squad_rows(path, None) is None
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "1"}]}]}]}))
    with pytest.raises(UserError, match=r"paragraph 1, question '1', is not in the format of SQuAD.*'question'"):
        list(squad_rows(path, None))
    path.write_text(
        json.dumps(
            {
                "data": [
                    {
                        "paragraphs": [
                            {
                                "context": "c",
                                "qas": [
                                    {"id": "1", "question": "q", "is_impossible": True, "answers": [{"text": "c"}]}
                                ],
                            }
                        ]
                    }
                ]
            }
        )
    )
    [(_, row)] = squad_rows(path, None)
    assert row["answers"] == []
