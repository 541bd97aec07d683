"""One tiny random model of each family of encoders that `transformers` offers; docs/models.md has the result."""

from pathlib import Path

import pytest

from tests.models.families import FAMILIES, go_through

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "models.md"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_works_or_is_refused_as_the_document_says(tmp_path, family):
    row = go_through(family, tmp_path)
    assert str(row) in DOCUMENT.read_text().splitlines(), "run scripts/documents/list_models.py"
