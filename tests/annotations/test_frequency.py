import math

import numpy as np
import pytest

from maskwright.annotations.frequency import Frequency, Tfidf
from maskwright.annotations.shards import shard_of_texts
from maskwright.text.tokenizer import Trained

TEXTS = ["the cat and the dog", "the dog sleeps, the dog dreams of the sea", "a cat"]


@pytest.fixture(scope="module")
def tokenizer():
    return Trained("wordpiece", 70, lowercase=True).make(lambda: iter([TEXTS]))


def weights(annotation, folder, tokenizer, text) -> dict[str, float]:
    """Returns the weight of each word of a text."""
    annotation.learn(folder, lambda: (shard_of_texts([t], tokenizer) for t in TEXTS), tokenizer)
    shard = shard_of_texts([text], tokenizer)
    numbers = annotation.open(folder, tokenizer)(shard)
    words: dict[str, float] = {}
    first = np.flatnonzero(shard.starts).tolist()
    for begin, end in zip(first, [*first[1:], len(shard.ids)], strict=True):
        assert len(set(numbers[begin:end])) == 1  # all tokens of a word have the same weight
        spelled = text[shard.offsets[begin, 0] : shard.offsets[end - 1, 1]]
        words[spelled] = float(numbers[begin])
    return words


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, -1.0])
def test_frequency_is_a_power_of_the_count(tokenizer, tmp_path, alpha):
    found = weights(Frequency(alpha), tmp_path, tokenizer, "the dog and a whale")
    counts = {"the": 5, "dog": 3, "and": 1, "a": 1, "whale": 1}  # a word that is not in training counts as 1
    for word, count in counts.items():
        assert found[word] == pytest.approx(count**-alpha)


def test_tfidf_follows_the_formula(tokenizer, tmp_path):
    found = weights(Tfidf(), tmp_path, tokenizer, "the cat saw the dog and the dog slept")
    tf = {"the": 3, "cat": 1, "saw": 1, "dog": 2, "and": 1, "slept": 1}
    df = {"the": 2, "cat": 2, "saw": 1, "dog": 2, "and": 1, "slept": 1}
    for word in tf:
        assert found[word] == pytest.approx((1 + math.log(tf[word])) * math.log((1 + 3) / df[word]))


def test_the_documents_of_a_shard_are_counted_separately(tokenizer, tmp_path):
    annotation = Tfidf()
    annotation.learn(tmp_path, lambda: iter([shard_of_texts(TEXTS, tokenizer)]), tokenizer)
    annotate = annotation.open(tmp_path, tokenizer)
    together = annotate(shard_of_texts(TEXTS, tokenizer))
    alone = np.concatenate([annotate(shard_of_texts([text], tokenizer)) for text in TEXTS])
    assert np.array_equal(together, alone)


def test_an_exponent_that_is_not_finite_is_refused():
    for alpha in (math.nan, math.inf):
        with pytest.raises(ValueError, match=r"alpha"):
            Frequency(alpha)
