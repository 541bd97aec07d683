import numpy as np

from maskwright.annotations.words import Tally, look_up, ngram_keys, word_keys


def test_equal_words_have_equal_keys_and_different_words_different_keys():
    ids = np.array([7, 8, 9, 7, 8, 8, 7, 7, 8])
    starts = np.array([1, 0, 1, 1, 0, 1, 0, 1, 0], dtype=bool)  # 7 8 | 9 | 7 8 | 8 7 | 7 8
    keys, first = word_keys(ids, starts)
    assert first.tolist() == [0, 2, 3, 5, 7]
    assert keys[0] == keys[2] == keys[4]
    assert len({*keys.tolist()}) == 3
    assert [len(array) for array in word_keys(ids[:0], starts[:0])] == [0, 0]


def test_keys_of_ngrams_depend_on_each_word_and_on_the_order_of_words():
    keys = np.array([1, 2, 3, 1, 2, 3, 2, 1])
    pairs = ngram_keys(keys, 2)
    assert len(pairs) == 7
    assert pairs[0] == pairs[3]
    assert pairs[1] == pairs[4]
    assert pairs[0] != pairs[6]
    assert len(ngram_keys(keys, 9)) == 0
    assert (ngram_keys(keys, 1) == keys).all()


def test_a_tally_counts_keys_over_several_portions(monkeypatch):
    monkeypatch.setattr("maskwright.annotations.words._MERGE_AT", 10)
    draw, tally, seen = np.random.default_rng(0), Tally(), []
    for _ in range(20):
        portion = draw.integers(0, 30, 50)
        tally.add(portion)
        seen.append(portion)
    keys, counts = tally.counts()
    expected = np.unique(np.concatenate(seen), return_counts=True)
    assert (keys == expected[0]).all()
    assert (counts == expected[1]).all()
    assert [len(array) for array in Tally().counts()] == [0, 0]


def test_look_up_finds_the_keys_of_a_table():
    index, found = look_up(np.array([2, 5, 9]), np.array([5, 1, 10, 9]))
    assert found.tolist() == [True, False, False, True]
    assert index[found].tolist() == [1, 2]
    assert not look_up(np.array([], dtype=np.int64), np.array([1]))[1].any()
