"""Counts of what was found in a source."""

import json

from maskwright.corpora.findings import Findings

NOTES = {"documents": 7, "empty": 2, "texts train": 5, "words train": 50, "entities train": 9, "own test": 1}


def test_findings_are_unchanged_after_writing_and_reading():
    found = Findings(1, 2, 3, 4, {"train": {"texts": 5}, "test": {"texts": 1, "words": 2}}, ["validation", "test"])
    assert Findings.from_notes(json.loads(json.dumps(found.to_notes()))) == found


def test_notes_in_old_caches_are_read():
    expected = Findings(
        empty=2, documents=7, by_split={"train": {"texts": 5, "words": 50, "entities": 9}}, own_splits=["test"]
    )
    assert Findings.from_notes(NOTES) == expected
