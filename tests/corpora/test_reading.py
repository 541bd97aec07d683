"""Reading a source as clean rows."""

import pytest

from maskwright.corpora.findings import Findings
from maskwright.corpora.reading import Reading, Row
from maskwright.corpora.recipe import source_recipe

SPLITS = {"train": "train", "validation": "validation", "test": "test"}
SENTENCES = {  # by file; the second one of eng.testa is empty once it is clean
    "eng.train": "Ada I-PER\n\nwrote O\n\n-DOCSTART- O\n\nnotes O\n",
    "eng.testa": "-DOCSTART- O\n\nParis B-LOC\n\n\x01 O\n\n-DOCSTART- O\n\n\x01 O\n\nRome I-LOC\n",
    "eng.testb": "on O\n",
}


@pytest.fixture
def recipe(tmp_path):
    for name, text in SENTENCES.items():
        (tmp_path / name).write_text(text)
    return source_recipe(str(tmp_path), tags="tags", column="words", splits=SPLITS, cleaning=["control_characters"])


@pytest.mark.parametrize("workers", [1, 2])
def test_texts_have_the_number_of_their_document(recipe, workers):
    """Numbers continue over splits, files and sources, so that no two documents have the same."""
    found: dict[str, list[tuple[str, int | None]]] = {}
    for split, rows in Reading(recipe, workers, documents=10):
        found.setdefault(split, []).extend((row.text, row.document) for row in rows)
    assert found == {
        "train": [("Ada", 11), ("wrote", 11), ("notes", 12)],
        "validation": [("Paris", 13), ("Rome", 14)],
        "test": [("on", 15)],
    }


def test_findings_are_counted(recipe):
    reading = Reading(recipe, 1)
    list(reading)
    sizes = {
        "train": {"texts": 3, "words": 3, "entities": 1},
        "validation": {"texts": 4, "words": 4, "entities": 2},
        "test": {"texts": 1, "words": 1, "entities": 0},
    }
    assert reading.findings == Findings(
        empty=2,
        strays=2,
        opened=1,
        documents=5,
        by_split=sizes,
        cleaned=8,
        characters=26,
        removed=2,
        lost=2,
        first_empty=5,
    )


def test_a_row_of_a_table_belongs_to_no_document(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\nfine,good\n" ",bad\n')
    recipe = source_recipe(
        str(tmp_path / "a.csv"), label="label", cleaning=["whitespace"], splits={"train": "train"}
    )
    reading = Reading(recipe, 1)
    [[split, [row]]] = reading
    assert (split, row) == ("train", Row("fine", "good"))
    assert reading.findings == Findings(
        empty=1, by_split={"train": {"texts": 2}}, cleaned=2, characters=4, first_empty=2
    )
