"""Texts to make predictions for."""

import pytest

from maskwright.corpora.cleaning import Cleaner
from maskwright.corpora.inputs import inputs
from maskwright.corpora.labels import Labelled, Tagged

CLEAN = Cleaner(["control_characters", "unicode_nfc", "whitespace"])


@pytest.mark.parametrize(
    ("text", "rule", "words"),
    [
        ("Ada went to Rome.", "punctuation", ["Ada", "went", "to", "Rome", "."]),
        ("a well-known\tdon't (3.14, 1,000)", "punctuation", "a well-known don't ( 3.14 , 1,000 )".split()),
        ("U.S. a,b", "punctuation", ["U", ".", "S", ".", "a", ",", "b"]),
        ("日本 und Ärger…", "punctuation", ["日本", "und", "Ärger", "…"]),
        ("Ada  went to Rome.\n", "blanks", ["Ada", "went", "to", "Rome."]),
        ("  ", "punctuation", []),
        ("", "blanks", []),
    ],
)
def test_words_are_found_where_they_stand_in_the_text(text, rule, words):
    [found] = inputs([text], CLEAN, rule)
    assert found.text == text
    assert [text[first:last] for first, last in found.words] == words
    assert [found.clean[first:last] for first, last in found.clean_words] == words


def test_a_word_that_cleaning_removes_stays_in_its_place():
    [found] = inputs(["Ada \ufeff went"], CLEAN, "blanks")
    assert found.words == [(0, 3), (4, 5), (6, 10)]
    assert found.clean == "Ada went"
    assert found.clean_words == [(0, 3), (3, 3), (4, 8)]


def test_given_words_and_documents_are_kept():
    tagged = [Tagged(["New York", "is"], ["O", "O"], opens) for opens in (True, False, True)]
    found = list(inputs([*tagged, "a text"], CLEAN, "punctuation"))
    assert [one.document for one in found] == [1, 1, 2, 3]
    assert found[0].text == "New York is"
    assert found[0].words == [(0, 8), (9, 11)]


def test_without_a_rule_texts_have_no_words():
    found = list(inputs([" a\ufeff  text ", Labelled("b", "pos"), Tagged(["c", "d"], ["O", "O"])], CLEAN, None))
    assert [(one.text, one.clean) for one in found] == [(" a\ufeff  text ", "a text"), ("b", "b"), ("c d", "c d")]
    assert {one.words for one in found} == {None}
