import pytest

from maskwright.reports.fills import sentences

LONG = "This is a sentence of more than eight words in all."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Title and so on. {LONG} Short one. {LONG}", [LONG, LONG]),
        (LONG, [LONG]),
        ("Too short.", []),
        (f"First. {LONG[:-1]}", []),
    ],
)
def test_only_whole_sentences_of_a_suitable_length_are_used(text, expected):
    assert list(sentences([text], each=2)) == expected


def test_sentences_are_spread_over_a_text():
    text = "First. " + " ".join(f"Sentence number {i} has more than eight words in all." for i in range(100))
    assert [s.split()[2] for s in sentences([text], each=4)] == ["0", "25", "50", "75"]
