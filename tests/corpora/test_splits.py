"""The split that a document belongs to."""

import pytest

from maskwright.corpora.splits import split_of


def test_splits_have_the_given_shares():
    shares = {"validation": 0.1, "test": 0.2}
    splits = [split_of(f"document {i}", shares) for i in range(20_000)]
    assert splits.count("validation") == pytest.approx(2000, abs=5 * (20_000 * 0.1 * 0.9) ** 0.5)
    assert splits.count("test") == pytest.approx(4000, abs=5 * (20_000 * 0.2 * 0.8) ** 0.5)
