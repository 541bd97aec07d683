"""How tags are spelled: schemes are found, and converted to IOB2."""

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora.tag_schemes import SCHEMES, check_scheme, find_scheme, iob2, several, with_prefix

IOB2 = ["B-PER", "I-PER", "O", "B-LOC", "I-LOC", "I-LOC", "O"]
SPELLED = {
    "IOB2": ("prefix", IOB2),
    "IOB1": ("prefix", ["I-PER", "I-PER", "O", "I-LOC", "I-LOC", "I-LOC", "O"]),
    "IOBES": ("prefix", ["B-PER", "E-PER", "O", "B-LOC", "I-LOC", "E-LOC", "O"]),
    "BILOU": ("prefix", ["B-PER", "L-PER", "O", "B-LOC", "I-LOC", "L-LOC", "O"]),
    "BMES": ("prefix", ["B-PER", "E-PER", "O", "B-LOC", "M-LOC", "E-LOC", "O"]),
    "underscores": ("prefix", ["B_PER", "I_PER", "O", "B_LOC", "I_LOC", "I_LOC", "O"]),
    "suffixes": ("suffix", ["PER-B", "PER-I", "O", "LOC-B", "LOC-I", "LOC-I", "O"]),
    "BMES suffixes": ("suffix", ["PER_B", "PER_E", "O", "LOC_B", "LOC_M", "LOC_E", "O"]),
    "IO": ("io", ["PER", "PER", "O", "LOC", "LOC", "LOC", "O"]),
}


@pytest.mark.parametrize("name", SPELLED)
def test_every_spelling_is_found_and_converted_to_iob2(name):
    scheme, tags = SPELLED[name]
    assert find_scheme([tags, ["O"] * 3]) == scheme
    assert iob2([with_prefix(tag, scheme) for tag in tags]).tags == IOB2


@pytest.mark.parametrize("tags", [list("BMESBE"), list("BIOOBI")], ids=["segments", "chunks"])
def test_tags_without_a_kind_are_of_entities(tags):
    assert find_scheme([tags]) == "bare"
    begins = ["O" if tag == "O" else "B" if tag in "BS" else "I" for tag in tags]
    found = iob2([with_prefix(tag, "bare") for tag in tags]).tags
    assert found == [tag if tag == "O" else f"{tag}-entity" for tag in begins]


@pytest.mark.parametrize(
    "tags",
    [
        ["NN", "VBZ", "DT", ".", ",", "''", "-LRB-"],
        ["NOUN", "VERB", "X", "_"],
        ["N", "V", "O", "S", "N"],  # O is a pronoun in Gimpel et al. (2011)
        ["NNP-TL", "AT-HL", "*-HL"],
    ],
)
def test_tags_that_are_no_entities_are_plain(tags):
    assert find_scheme([tags]) == "plain"


@pytest.mark.parametrize(
    ("tags", "labels", "scheme"),
    [
        (["O", "O"], None, "prefix"),
        ([], None, "prefix"),
        (["PER", "LOC", "O"], ["O", "B-PER", "I-PER"], "io"),
        (["PER", "O", "O"], ["O", "PER"], "plain"),
        (["NN", "O"], ["NN", "O", "VB"], "plain"),
        (["B-PER"], ["O", "B-PER", "I-PER"], "prefix"),
        (["B-PER,B-LOC", "O", "O"], None, "prefix"),  # whose reader refuses it, with its line
    ],
)
def test_known_labels_decide(tags, labels, scheme):
    assert find_scheme([tags], labels) == scheme


def test_joined_tags_are_recognised():
    assert all(map(several, ["B-PER,B-LOC", "B-PER, I-LOC", "O|B-PER", "PER-B;LOC-I", "B,I"]))
    assert not any(map(several, ["O", ",", "$,", "B-a,b", "PER", "B-R&D", "B-A+B"]))
    with pytest.raises(UserError, match=r"several tags, joined as in 'NN\|VB' \(data\.tags\)"):
        find_scheme([["NN", "VB", "NN|VB"]])
    assert find_scheme([["NN", "VB"] * 200, ["NN|VB"]]) == "plain"  # as in the Penn Treebank


def test_words_are_not_taken_for_tags():
    words = [f"word{number}" for number in range(150)]
    with pytest.raises(UserError, match=r"a column of 150 different values \(word0, word1, word10, …\) among 300"):
        find_scheme([words, words])
    assert find_scheme([words] * 30) == "plain"


def test_a_scheme_that_does_not_exist_is_refused():
    for scheme in (None, *SCHEMES):
        check_scheme(scheme)
    with pytest.raises(UserError, match=r"data\.scheme is 'iob'.*It is one of: prefix, suffix"):
        check_scheme("iob")
