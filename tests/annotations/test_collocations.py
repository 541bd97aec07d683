import math
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest

from maskwright.annotations.collocations import Collocations, read_list, score
from maskwright.annotations.shards import shard_of_texts
from maskwright.core.errors import UserError
from maskwright.text.tokenizer import Trained

TEXTS = [
    "new york city is a big city, new york is big.",
    "a new city is in york. new york city hall is in new york city.",
    "the city hall of new york city is new, the hall is big",
    "is it big? a big new york!",
]


@pytest.fixture(scope="module")
def tokenizer():
    return Trained("wordpiece", 90, lowercase=True).make(lambda: iter([TEXTS * 3]))


def shards(tokenizer, texts=TEXTS):
    """Returns a function that yields shards of two documents each, as a corpus does."""
    return lambda: (shard_of_texts(texts[i : i + 2], tokenizer) for i in range(0, len(texts), 2))


def words_of(text: str) -> list[str]:
    return text.replace(",", " ,").replace(".", " .").replace("?", " ?").replace("!", " !").split()


def by_hand(min_count: int, max_words: int) -> dict[str, tuple[float, int]]:
    """Returns the PMI of every n-gram, computed from its definition, with all cuts."""
    counts: Counter[tuple[str, ...]] = Counter()
    for text in TEXTS:
        words = words_of(text)
        for n in range(1, max_words + 1):
            for i in range(len(words) - n + 1):
                gram = tuple(words[i : i + n])
                if not any(word in ",.?!" for word in gram):
                    counts[gram] += 1
    total = sum(count for gram, count in counts.items() if len(gram) == 1)
    found = {}
    for gram, count in counts.items():
        n = len(gram)
        if n < 2 or count < min_count:
            continue
        scores = []
        for number in range(1, n):
            for cuts in combinations(range(1, n), number):
                edges = [0, *cuts, n]
                parts = [gram[a:b] for a, b in pairwise(edges)]
                independent = math.prod(counts[part] / total for part in parts)
                scores.append(math.log(count / total / independent))
        if min(scores) > 0:
            found[" ".join(gram)] = (min(scores), count)
    return found


@pytest.mark.parametrize(("min_count", "max_words"), [(1, 5), (2, 4), (3, 2)])
def test_scores_equal_those_computed_from_the_definition(tokenizer, min_count, max_words):
    expected = by_hand(min_count, max_words)
    assert "new york" in expected
    found = {
        tokenizer.decode([i for word in words for i in word]): (pmi, count)
        for pmi, count, words in score(shards(tokenizer), tokenizer, max_words, min_count, 10**9)
    }
    assert found.keys() == expected.keys()
    for gram, (pmi, count) in expected.items():
        assert found[gram] == (pytest.approx(pmi), count), gram


def test_one_score_equals_that_computed_by_hand(tokenizer):
    """46 words; new 8, york 7, new york 6 times: log(6/46 / (8/46 * 7/46))."""
    total = sum(word not in ",.?!" for text in TEXTS for word in words_of(text))
    counted = " ".join(" ".join(words_of(text)) for text in TEXTS)
    assert (total, counted.split().count("new"), counted.split().count("york")) == (46, 8, 7)
    assert counted.count("new york") == 6
    scored = {words: pmi for pmi, _, words in score(shards(tokenizer), tokenizer, 2, 1, 10**9)}
    [ids] = [tuple(tuple(tokenizer.backend.encode(word, add_special_tokens=False).ids) for word in ("new", "york"))]
    assert scored[ids] == pytest.approx(math.log(6 / 46 / (8 / 46 * 7 / 46)))


def prepare(tmp_path, tokenizer, **settings):
    annotation = Collocations(**settings)
    tmp_path.mkdir(exist_ok=True)
    annotation.learn(tmp_path, shards(tokenizer), tokenizer)
    return annotation


def shown(annotation, folder, tokenizer, text: str) -> list[str]:
    """Returns the units of a text, with spaces between their words."""
    shard = shard_of_texts([text], tokenizer)
    opens = annotation.open(folder, tokenizer)(shard)
    assert not opens[~shard.starts].any()  # a unit never begins inside a word
    units: list[str] = []
    for i, (first, last) in enumerate(shard.offsets[:-1].tolist()):
        inside = not opens[i]
        gap = " " if shard.starts[i] else ""
        units[-1:] = [units[-1] + gap + text[first:last]] if inside else [*units[-1:], text[first:last]]
    return units


def test_longer_collocations_come_first_and_do_not_overlap(tokenizer, tmp_path):
    annotation = prepare(tmp_path, tokenizer, min_count=3, max_words=3)
    _, listed = read_list(tmp_path / "collocations.tsv")
    texts = {tokenizer.decode([i for word in words for i in word]) for _, _, words in listed}
    assert {"new york", "new york city"} <= texts
    assert shown(annotation, tmp_path, tokenizer, "a new york city, new york") == [
        "a",
        "new york city",
        ",",
        "new york",
    ]
    # the two collocations do not overlap
    assert shown(annotation, tmp_path, tokenizer, "new york new york city") == ["new york", "new york city"]


def test_the_list_is_readable_and_limited(tokenizer, tmp_path):
    prepare(tmp_path / "all", tokenizer, min_count=2)
    prepare(tmp_path / "few", tokenizer, min_count=2, size=3)
    lines = (tmp_path / "all" / "collocations.tsv").read_text().splitlines()
    assert lines[0] == f"# collocations for the tokenizer {tokenizer.digest}"
    assert lines[1].split("\t") == ["pmi", "count", "collocation", "ids"]
    scores = [float(line.split("\t")[0]) for line in lines[2:]]
    assert scores == sorted(scores, reverse=True)
    assert (tmp_path / "few" / "collocations.tsv").read_text().splitlines() == lines[:5]


def test_a_list_can_be_given_and_must_be_for_this_tokenizer(tokenizer, tmp_path):
    prepare(tmp_path / "a", tokenizer, min_count=2)
    path = tmp_path / "a" / "collocations.tsv"
    prepare(tmp_path / "b", tokenizer, path=str(path))
    assert (tmp_path / "b" / "collocations.tsv").read_text() == path.read_text()
    other = Trained("wordpiece", 80, lowercase=True).make(lambda: iter([TEXTS]))
    (tmp_path / "c").mkdir()
    with pytest.raises(UserError, match=r"mask\.units\.path=.* was built for another tokenizer"):
        Collocations(path=str(path)).learn(tmp_path / "c", shards(other), other)


def test_lists_that_cannot_be_read_are_refused(tokenizer, tmp_path):
    path = tmp_path / "list.tsv"
    with pytest.raises(ValueError, match=r"path=.*list\.tsv cannot be read"):
        Collocations(path=str(path))
    path.write_text("new york\n")
    with pytest.raises(ValueError, match="line 1, does not begin with"):
        Collocations(path=str(path))
    path.write_text("# collocations for the tokenizer x\n1.0\t3\tnew york\t5,6\n")
    with pytest.raises(ValueError, match="line 2, does not name the columns"):
        Collocations(path=str(path))
    for ids in ("five", "5,,6", "5", "5,99999999999", "-1,5"):
        head = "# collocations for the tokenizer x\npmi\tcount\tcollocation\tids\n1.0\t3\tnew york\t5,6\n"
        path.write_text(f"{head}1.0\t3\tnew york\t{ids}\n")
        with pytest.raises(ValueError, match="line 4, is not"):
            Collocations(path=str(path))


@pytest.mark.parametrize("kind", ["unigram", "bpe", "wordpiece"])
def test_no_collocation_holds_punctuation_or_unknown_tokens(kind, tmp_path):
    """Whatever mark the tokenizer puts before a word, and however it encodes unknown characters."""
    texts = ["the city ( the city ) - the city , the 城 city 城 the"] * 20 + ["the city is the city of a city"] * 5
    size = 300 if kind == "bpe" else 64
    tokenizer = Trained(kind, size, lowercase=True).make(lambda: iter([["the city is of a ( ) - ,"] * 5]))
    scored = score(lambda: iter([shard_of_texts(texts, tokenizer)]), tokenizer, 5, 2, 10**9)
    assert scored
    for _, _, words in scored:
        assert not any(tokenizer.is_special[list(word)].any() for word in words)
        text = tokenizer.decode([i for word in words for i in word])
        assert not set(text) & set("()-,"), text


@pytest.mark.parametrize(("key", "value"), [("max_words", 1), ("max_words", 11), ("min_count", 0), ("size", 0)])
def test_settings_out_of_range_are_refused(key, value):
    with pytest.raises(ValueError, match=rf"{key} is {value}; it lies between"):
        Collocations(**{key: value})


def test_without_collocations_every_word_is_a_unit(tokenizer, tmp_path, capsys):
    annotation = prepare(tmp_path, tokenizer, min_count=1000)
    assert "no words occur together 1000 times" in capsys.readouterr().out
    shard = shard_of_texts(TEXTS, tokenizer)
    assert (annotation.open(tmp_path, tokenizer)(shard) == shard.starts).all()
    assert np.array(annotation.open(tmp_path, tokenizer)(shard)).dtype == bool
