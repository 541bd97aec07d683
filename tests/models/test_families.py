"""One tiny random model of each family of encoders that `transformers` offers; docs/models.md has the result."""

from pathlib import Path

import pytest

from tests.models.families import FAMILIES, go_through
from tests.models.family_tasks import Tasks

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "models.md"


@pytest.fixture(scope="session")
def tasks(tmp_path_factory) -> Tasks:
    return Tasks(tmp_path_factory.mktemp("families"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_works_or_is_refused_as_the_document_says(tmp_path, tasks, family):
    row = go_through(family, tmp_path, tasks)
    assert str(row) in DOCUMENT.read_text().splitlines(), "run scripts/documents/list_models.py"
