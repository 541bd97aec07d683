"""Streams of several sources."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.core.errors import UserError
from maskwright.corpora.proportions import Proportions
from maskwright.corpora.recipe import Recipe
from maskwright.data.mixing import Mixture


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.data())
def test_every_source_has_its_share_of_any_beginning(sizes, data):
    weights = [data.draw(st.floats(0.05, 1)) for _ in sizes]
    shares = [weight / sum(weights) for weight in weights]
    source, place = Mixture(sizes, shares, seed=1).place(np.arange(2000))
    for number, share in enumerate(shares):
        seen = np.cumsum(source == number)
        assert np.abs(seen - share * np.arange(1, 2001)).max() <= len(sizes)
        # the examples of a source are taken one after the other
        np.testing.assert_array_equal(place[source == number], np.arange(seen[-1]))


def test_a_stream_is_read_from_any_place():
    mixture = Mixture([3, 50], [0.25, 0.75], seed=7)
    whole = mixture(np.arange(400))
    for first in (1, 13, 200):
        for own, all_of_it in zip(mixture(np.arange(first, first + 30)), whole, strict=True):
            np.testing.assert_array_equal(own, all_of_it[first : first + 30])
    epochs, examples = whole
    small = examples < 3
    assert small.sum() == 100
    for epoch in range(33):  # each source has epochs of its own, in each of which it is seen once
        assert sorted(examples[small & (epochs == epoch)]) == [0, 1, 2]
    assert sorted(examples[~small & (epochs == 0)]) == [*range(3, 53)]
    other = Mixture([3, 50], [0.25, 0.75], seed=8)(np.arange(400))[1]
    assert not np.array_equal(other, examples)


def test_shares_are_exact_after_a_billion_places():
    source, place = Mixture([10, 10], [0.2, 0.8], seed=1).place(np.arange(10**9, 10**9 + 1000))
    assert (source == 0).sum() == 200
    assert abs(place[source == 0][0] / 10**9 - 0.2) < 1e-6


def test_shares_come_from_weights_or_sizes():
    of = Proportions.of
    assert of({"sources": {"a": {"weight": 1}, "b": {"weight": 3}}}).shares({"a": 9, "b": 9}) == {
        "a": 0.25,
        "b": 0.75,
    }
    assert of({"sources": {"a": {}, "b": {}}, "temperature": 2.0}).shares({"a": 1, "b": 9}) == {
        "a": 0.25,
        "b": 0.75,
    }
    assert of({"sources": {"a": {}}}).are_sizes
    replayed = of({"source": "x", "replay": {"source": "y", "share": 0.2}})
    assert replayed.shares({"": 5, "replay": 900}) == {"": 0.8, "replay": 0.2}
    assert of({"source": "x", "replay": {"source": None, "share": 0.2}}).are_sizes


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"sources": {"a": {"weight": 1}, "b": {}}},
            "data.sources.b.weight is not set, but data.sources.a.weight is",
        ),
        ({"sources": {"a": {"weight": 1}}, "temperature": 2.0}, "data.temperature=2.0 is about the sizes"),
        ({"sources": {"replay": {}}}, "this is the name of data.replay"),
        (
            {
                "source": "x",
                "tags": "tag",
                "replay": {"source": "y", "splits": {"train": "train"}},
                "splits": {"train": "train"},
            },
            "data.tags is set, but sources with tags cannot be weighted",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(data, message):
    with pytest.raises(UserError, match=message):
        Recipe.of(data)
