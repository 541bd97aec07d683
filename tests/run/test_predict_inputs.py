"""Which texts predictions are made for."""

import json
from types import SimpleNamespace

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskwright.core.errors import UserError
from maskwright.run.predict_inputs import texts_of

WORDS = [["Ada", "went", "home", "."], [], ["Rome"]]
SOURCE = {
    "column": "text",
    "document": "row",
    "tags": None,
    "label": None,
    "cleaning": [],
    "splits": {"train": "train"},
}
OF_RUN = {  # settings of the data of a run, by what it predicts
    "tags": {**SOURCE, "column": "tokens", "tags": "ner_tags"},
    "class": {**SOURCE, "label": "label"},
}


def read(kind, path, **data):
    """The words of each text, or the texts where they have none."""
    asked = SimpleNamespace(text=None, data={**data, "source": str(path)}, split=None, words="blanks")
    saved = SimpleNamespace(config={"data": OF_RUN[kind]}, labels=SimpleNamespace(kind=kind), pair_columns=None)
    found = texts_of(asked, saved).read()
    return [
        text.text if text.words is None else [text.text[first:last] for first, last in text.words] for text in found
    ]


def write(path, **columns):
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.table(columns), path)
        case ".json":
            path.write_text(json.dumps(rows))
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case _:
            datasets.Dataset.from_dict(columns).save_to_disk(path)
    return path


FORMATS = ("new.jsonl", "new.json", "new.parquet", "saved")


@pytest.mark.parametrize("name", FORMATS)
def test_lists_of_words_need_no_tags(tmp_path, name):
    path = write(tmp_path / name, tokens=WORDS)
    assert read("tags", path) == WORDS
    assert read("tags", path, **{**SOURCE, "column": "tokens"}) == WORDS  # data=text
    assert read("class", path, column="tokens") == ["Ada went home .", "", "Rome"]


@pytest.mark.parametrize("name", FORMATS)
def test_tags_that_are_there_may_be_of_any_scheme(tmp_path, name):
    tags = [["NNP", "VBD", "B-ADV", "."], [], ["PER-B"]]
    assert read("tags", write(tmp_path / name, tokens=WORDS, ner_tags=tags)) == WORDS


def test_words_in_columns_need_no_tags(tmp_path):
    for text in ("Ada\nwent\nhome\n.\n\nRome\n", "Ada NNP\nwent VBD\nhome RB\n. .\n\nRome NNP\n"):
        (tmp_path / "new.conll").write_text(text)
        assert read("tags", tmp_path / "new.conll") == [WORDS[0], WORDS[2]]


def test_other_values_are_refused(tmp_path):
    path = write(tmp_path / "new.jsonl", tokens=[["Ada", 3]])
    with pytest.raises(UserError, match=r"new\.jsonl, line 1, holds 3 where a word is expected"):
        read("tags", path)
    with pytest.raises(UserError, match=r"has no column 'token'.*Did you mean 'tokens'"):
        read("tags", path, column="token")
