"""The case of words, and its features."""

import pytest
import torch

from maskwright.core.case import Case
from maskwright.models.layers.case import CaseFeatures


@pytest.mark.parametrize(
    ("word", "case"),
    [
        ("1996-08-22", Case.NO_LETTERS),
        ("", Case.NO_LETTERS),
        ("well-known", Case.LOWER),
        ("3rd", Case.LOWER),
        ("Ada", Case.FIRST),
        ("A", Case.FIRST),
        ("McDonald", Case.FIRST),
        ("Élan", Case.FIRST),
        ("EU", Case.CAPITALS),
        ("U.N.", Case.CAPITALS),
        ("eBay", Case.OTHER),
    ],
)
def test_case_of_a_word(word, case):
    assert Case.of(word) is case


def test_features_depend_on_neighbours_but_not_on_padding():
    torch.manual_seed(0)
    features = CaseFeatures()
    cases = torch.tensor([[1, 2, 1, 1, 1, 1, 3]])
    found = features(cases)
    assert found.shape == (1, 7, CaseFeatures.size)
    torch.testing.assert_close(features(torch.cat([cases, torch.zeros(1, 4, dtype=torch.long)], 1))[:, :7], found)
    far, near = found[0, 4], found[0, 3]  # the second word is three away, and two
    other = features(torch.tensor([[1, 1, 1, 1, 1, 1, 3]]))[0]
    torch.testing.assert_close(other[4], far)
    assert not torch.allclose(other[3], near)
