import itertools

import numpy as np
import pytest

from maskwright.annotations.lexicon import Lexicon
from maskwright.annotations.shards import shard_of_texts
from maskwright.core.errors import UserError
from maskwright.text.tokenizer import Trained

TEXTS = ["a wonderful film, good and funny", "Bad. TERRIBLE! BAD! a bad film; the good actor is not bad"] * 3


@pytest.fixture(scope="module", params=["wordpiece", "bpe", "unigram", "cased"])
def tokenizer(request):
    kind = "wordpiece" if request.param == "cased" else request.param
    size = 300 if kind == "bpe" else 200
    return Trained(kind, size, lowercase=request.param != "cased").make(lambda: iter([TEXTS]))


def weights(annotation, folder, tokenizer, text) -> list[tuple[str, float]]:
    annotation.learn(folder, lambda: iter([shard_of_texts(TEXTS, tokenizer)]), tokenizer)
    shard = shard_of_texts([text], tokenizer)
    numbers = annotation.open(folder, tokenizer)(shard)
    first = np.flatnonzero(shard.starts).tolist()
    return [
        (text[shard.offsets[begin, 0] : shard.offsets[end - 1, 1]].strip(), round(float(numbers[begin]), 4))
        for begin, end in itertools.pairwise(first)
    ]


def test_words_of_a_list_weigh_their_score_whatever_their_case(tokenizer, tmp_path):
    path = tmp_path / "list.tsv"
    path.write_text("good\t2\nbad\t-2.5\textra\nFunny\nterrible\t0.25\n\nnever used\t4\n")
    text = "Bad, good BAD good; a funny film (good"
    found = weights(Lexicon(str(path)), tmp_path, tokenizer, text)
    expected = [
        ("Bad", 2.5),
        (",", 0),
        ("good", 2),
        ("BAD", 2.5),
        ("good", 2),
        (";", 0),
        ("a", 0),
        ("funny", 1),
        ("film", 0),
        ("(", 0),
        ("good", 2),
    ]
    assert found == expected
    squared = weights(Lexicon(str(path), power=2, least=1, others=0.1), tmp_path, tokenizer, "terrible good film")
    assert squared == [("terrible", 0.1), ("good", 4), ("film", 0.1)]


def test_vader_contains_words_of_emotion(tmp_path):
    tokenizer = Trained("wordpiece", 200, lowercase=True).make(lambda: iter([TEXTS]))  # one: they are 7,500 words
    found = dict(weights(Lexicon(), tmp_path, tokenizer, "a wonderful film, good and terrible"))
    assert found["wonderful"] == pytest.approx(2.7)
    assert found["good"] == pytest.approx(1.9)
    assert found["terrible"] == pytest.approx(2.1)
    assert found["film"] == found["a"] == found[","] == 0


def test_a_list_without_words_of_the_corpus_is_refused(tokenizer, tmp_path):
    path = tmp_path / "list.tsv"
    path.write_text("schön\t2\nhässlich\t-2\n")
    with pytest.raises(UserError, match=r"mask\.weights\.lexicon=.*list\.tsv: none of its 2 words occurs"):
        weights(Lexicon(str(path)), tmp_path, tokenizer, "film")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good\t2\nbad\tvery\n", r"line 2: 'very' is no finite number"),
        (b"good\t2\nbad\tnan\n", r"line 2: 'nan' is no finite number"),
        (b"good\t2\nbad\tinf\n", r"line 2: 'inf' is no finite number"),
        (b"good\t2\n\xff\xfe\t1\n", r"line 2, is not UTF-8"),
        (b"good\t2\n\t1\n", r"line 2, has no word"),
        (b"\n\n", r"holds no words"),
        (b"good\t0\n", r"least=0\.0 leaves no word"),
    ],
)
def test_lists_that_cannot_be_read_are_refused_with_the_line(tmp_path, content, message):
    path = tmp_path / "list.tsv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        Lexicon(str(path))
    assert str(caught.value).startswith(("lexicon=", "least="))


def test_settings_out_of_range_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"lexicon=.* does not exist"):
        Lexicon(str(tmp_path / "none.tsv"))
    for key in ("power", "least", "others"):
        for value in (-1.0, float("nan"), float("inf")):
            with pytest.raises(ValueError, match=rf"{key} is"):
                Lexicon(**{key: value})
