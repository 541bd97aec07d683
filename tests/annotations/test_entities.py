import pytest

from maskwright.annotations.entities import Entities, named_spans
from maskwright.annotations.shards import shard_of_texts
from maskwright.corpora.marks import Marks
from maskwright.text.tokenizer import Trained


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The river flows through Old Town into Lake Erie.", ["Old Town", "Lake Erie"]),
        ("Ada met Charles Babbage. He admired Ada Lovelace.", ["Charles Babbage", "Ada Lovelace"]),
        ("The United States of America and I agree.", ["United States", "America"]),
        ('He said: "Paris is big." Then Marie left.', ["Marie"]),
        ("We saw Dr. Smith and J. Doe.", ["Dr. Smith", "J. Doe"]),
        ("on 12 March 1990, on March 12, 1990 or in March 1990", ["12 March 1990", "March 12, 1990", "March 1990"]),
        ("since 1990-03-12, not 12/3/1990 nor the 1990s", ["1990-03-12", "12/3/1990", "1990s"]),
        ("it cost $1,200.50, or 3.5% of 40 million people", ["$1,200.50", "3.5%", "40 million"]),
        ("an mp3 of 20 songs by U2", ["20", "U2"]),
        ("Élise and Ørsted met Ångström", ["Ørsted", "Ångström"]),
        ("In March 1990 and on March 12, 1990 he left", ["March 1990", "March 12, 1990"]),
        ("it was President Obama March 3, 2009", ["President Obama", "March 3, 2009"]),
        ("the U.S. Army and the U.S. is here", ["U.S. Army", "U.S."]),
        ("nothing is here.", []),
        ("", []),
    ],
)
def test_the_rule_finds_names_dates_and_numbers(text, expected):
    assert [text[first:last] for first, last in named_spans(text)] == expected


@pytest.fixture(scope="module", params=["wordpiece", "bpe", "unigram"])
def tokenizer(request):
    texts = ["the old town of new york on 12 march 1990. ", "She met Ada Lovelace in London, in 1843 "] * 5
    return Trained(request.param, 300 if request.param == "bpe" else 70, lowercase=True).make(lambda: iter([texts]))


def units(annotation, tokenizer, text, tags=None):
    shard = shard_of_texts([text], tokenizer, [None if tags is None else Marks([], tags)])
    opens = annotation.annotate(shard)
    assert not opens[~shard.starts].any()
    out: list[list[int]] = []
    for i, (first, last) in enumerate(shard.offsets[:-1].tolist()):
        if opens[i]:
            out.append([first, last])
        else:
            out[-1][1] = last
    return [text[first:last].strip() for first, last in out]


def test_a_span_is_one_unit_and_so_is_each_other_word(tokenizer):
    text = "She met Ada Lovelace in London, in 1843"
    expected = ["She", "met", "Ada Lovelace", "in", "London", ",", "in", "1843"]
    assert units(Entities(), tokenizer, text) == expected


def test_tags_of_the_corpus_take_precedence_over_the_rule(tokenizer):
    text = "She met Ada Lovelace in London, in 1843"
    tags = [(text.index("met"), text.index("met") + 3), (text.index("Lovelace"), text.index(","))]
    expected = ["She", "met", "Ada", "Lovelace in London", ",", "in", "1843"]
    assert units(Entities("auto"), tokenizer, text, tags) == expected
    assert units(Entities("tags"), tokenizer, text, tags) == expected
    assert units(Entities("rule"), tokenizer, text, tags) == units(Entities(), tokenizer, text)
    assert units(Entities("auto"), tokenizer, text, []) == [
        "She",
        "met",
        "Ada",
        "Lovelace",
        "in",
        "London",
        ",",
        "in",
        "1843",
    ]
    # a text from outside the corpus has no tags
    assert units(Entities("tags"), tokenizer, text) == units(Entities("rule"), tokenizer, text)


def test_neighbouring_spans_are_separate_units(tokenizer):
    text = "new york london"
    assert units(Entities(), tokenizer, text, [(0, 8), (9, 15)]) == ["new york", "london"]


def test_an_unknown_source_is_refused():
    with pytest.raises(ValueError, match=r"source is 'tag'"):
        Entities("tag")
