"""Labels and tags: schemes, repairs, refusals."""

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora import columns
from maskwright.corpora.labels import ANY, Spelling, Tagged, label_of, marks, spelled, tagged
from maskwright.corpora.tag_schemes import iob2

IOB2 = ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "I-LOC", "B-PER"]


@pytest.mark.parametrize(
    "tags",
    [
        IOB2,
        ["I-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-LOC", "I-PER"],  # IOB1
        ["B-PER", "E-PER", "O", "S-LOC", "B-LOC", "E-LOC", "S-PER"],  # IOBES
        ["B-PER", "L-PER", "O", "U-LOC", "B-LOC", "L-LOC", "U-PER"],  # BILOU
    ],
    ids=["IOB2", "IOB1", "IOBES", "BILOU"],
)
def test_every_scheme_is_converted_to_iob2(tags):
    assert iob2(tags).tags == IOB2


def test_stray_tags_are_distinguished_from_iob1():
    # the first cannot be distinguished from IOB1
    assert iob2(["O", "I-PER", "I-LOC"]) == (["O", "B-PER", "B-LOC"], 2, 0)
    assert iob2(["B-PER", "O", "I-PER"]) == (["B-PER", "O", "B-PER"], 1, 1)


def test_marks_refer_to_the_cleaned_text():
    text, words = Tagged(["Ada", "\u200b", "King", "wrote"], []).plain(lambda word: word.replace("\u200b", ""))
    assert text == "Ada King wrote"
    assert [text[first:last] for first, last in words] == ["Ada", "", "King", "wrote"]
    found = marks(words, ["B-PER", "I-PER", "I-PER", "O"])
    assert [text[first:last] for first, last in found.entities] == ["Ada King"]
    found = marks(words, ["B-LOC", "B-PER", "I-PER", "O"])
    assert [text[first:last] for first, last in found.entities] == ["Ada", "King"]


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        (["a", "b"], ["O"], "as many tags"),
        (["a"], ["X-PER"], "tag 'X-PER'"),
        (["a"], ["B-"], "tag 'B-'"),
        (["a"], [7], "has the label 7, but there are 2: O, B-PER"),
        (["a"], [None], "where a label is expected"),
        ([None], ["O"], r"holds None where a word is expected \(data\.column\)"),
        (["a", 7], ["O", "O"], "holds 7 where a word is expected"),
    ],
)
def test_invalid_tags_are_refused(words, tags, message):
    names = ["O", "B-PER"] if isinstance(tags[0], int) else None
    with pytest.raises(UserError, match=f"row 3.*{message}"):
        tagged(words, tags, names, ANY, "row 3")


def test_labels_are_converted_to_text_and_checked():
    assert label_of(1, ["neg", "pos"], "row 1") == "pos"
    assert label_of(-1, ["neg", "pos"], "row 1") is None
    assert label_of(3, None, "row 1") == "3"
    # pandas makes floats of whole numbers where there are gaps, and NaN of these
    assert [label_of(value, None, "row 1") for value in (1.0, -2.0, 0.5)] == ["1", "-2", "0.5"]
    assert label_of(float("nan"), None, "row 1") is None
    assert label_of(" pos ", None, "row 1", Spelling(["neg", "pos"])) == "pos"
    with pytest.raises(UserError, match=r"data\.csv, line 4, has the label 'possitive'.*Did you mean 'positive'"):
        label_of("possitive", None, "data.csv, line 4,", Spelling(["negative", "positive"]))
    with pytest.raises(UserError, match="empty label"):
        label_of("", None, "row 1")


def test_columns_are_read_with_their_documents(tmp_path):
    path = tmp_path / "eng.train"
    path.write_text("-DOCSTART- -X- O O\n\nAda NNP I-PER\nwrote VBD O\n\n-DOCSTART- -X- O O\n\nParis NNP I-LOC\n")
    assert list(columns.read(path)) == [
        Tagged(["Ada", "wrote"], ["B-PER", "O"], opens_document=True, strays=1, opened=0),
        Tagged(["Paris"], ["B-LOC"], opens_document=True, strays=1, opened=0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Ada I-PER\nwrote\n", "line 2, holds 'wrote' alone"),
        ("Ada NNP I-PER\nwrote VBD\n", r"line 2, has 2 columns \(wrote VBD\), but the lines before it have 3"),
        ("Ada I-PER\nwrote I-PRE\n", r"line 2, has the tag 'B-PRE'.*Did you mean 'B-PER'"),
    ],
)
def test_errors_name_the_line(tmp_path, text, message):
    path = tmp_path / "eng.train"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"eng\.train, {message}"):
        list(columns.read(path, Spelling(["O", "B-PER", "I-PER"])))


def test_words_between_tabs_may_contain_spaces(tmp_path):
    path = tmp_path / "eng.train"
    path.write_text("New York\tB-LOC\nsleeps\tO\n")
    assert [text.words for text in columns.read(path)] == [["New York", "sleeps"]]


def test_words_between_spaces_may_contain_other_white_space(tmp_path):
    path = tmp_path / "fr.train"
    path.write_text("10\u00a0000 B-NUM\n東\u3000京  \t B-LOC \n".replace("\t", ""))
    [text] = columns.read(path)
    assert text.words == ["10\u00a0000", "東\u3000京"]
    assert text.tags == ["B-NUM", "B-LOC"]


@pytest.mark.parametrize(
    ("labels", "text"),
    [((True, "true", "True", "TRUE"), "true"), ((1, 1.0, "1", "1.0"), "1"), ((-2.5, "-2.5"), "-2.5")],
)
def test_labels_are_spelled_alike_in_all_formats(labels, text):
    assert {spelled(label) for label in labels} == {text}
    assert {label_of(label, None, "row 1") for label in labels} == {text}
