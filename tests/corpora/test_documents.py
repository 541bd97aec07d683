import json
import random
from itertools import chain

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora.documents import Documents, Recipe, open_documents, split_of
from maskwright.corpora.source import Source
from tests.conftest import make_text

CLEANING = ("html_tags", "whitespace")
SPLITS = {"train": "train", "validation": 0.1, "test": 0.1}


def prepare(tmp_path, texts, name="corpus", splits=SPLITS, limit=None, workers=1):
    path = tmp_path / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    recipe = Documents(Source(str(path), None, "text", "row"), CLEANING, splits, limit)
    return {
        name: split["text"][:]
        for name, split in open_documents(Recipe({"": recipe}).prepare(tmp_path, workers)).items()
    }


TEXTS = [make_text(seed) for seed in range(300)]


def test_splits_share_out_everything_once(tmp_path):
    splits = prepare(tmp_path, TEXTS)
    assert sorted(chain(*splits.values())) == sorted(TEXTS)
    assert 15 < len(splits["validation"]) < 50
    assert 15 < len(splits["test"]) < 50


def test_splits_do_not_depend_on_order_or_on_other_documents(tmp_path):
    before = prepare(tmp_path, TEXTS)
    shuffled = random.Random(0).sample(TEXTS, len(TEXTS)) + [make_text(seed) for seed in range(1000, 1100)]
    after = prepare(tmp_path, shuffled, "more")
    for split in before:
        assert set(before[split]) <= set(after[split])


def test_copies_never_cross_a_split(tmp_path):
    copies = [f"  {text.upper()} " for text in TEXTS] + [text.replace(" ", "\n  ") for text in TEXTS]
    splits = prepare(tmp_path, TEXTS + copies)
    normal = {name: {" ".join(text.lower().split()) for text in texts} for name, texts in splits.items()}
    assert sum(map(len, normal.values())) == len(set.union(*normal.values())) == len(set(TEXTS))


def test_processes_do_not_change_the_documents(tmp_path):
    one = prepare(tmp_path / "", TEXTS, "a")
    two = prepare(tmp_path / "", TEXTS, "b", workers=2)
    assert one == two


def test_named_splits_are_taken_as_they_are(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "set").mkdir()
    for split, texts in (("train", TEXTS[:200]), ("test", TEXTS[200:])):
        pq.write_table(pa.table({"text": texts}), tmp_path / "set" / f"{split}-00000.parquet")
    source = Source(str(tmp_path / "set"), None, "text", "row")
    recipe = Documents(source, CLEANING, {"train": "train", "validation": 0.1, "test": "test"}, None)
    splits = open_documents(Recipe({"": recipe}).prepare(tmp_path, 1))
    assert splits["test"]["text"][:] == TEXTS[200:]
    assert sorted(splits["train"]["text"][:] + splits["validation"]["text"][:]) == sorted(TEXTS[:200])


def test_limit_takes_the_first(tmp_path):
    splits = prepare(tmp_path, TEXTS, limit=100)
    assert sorted(chain(*splits.values())) == sorted(TEXTS[:100])


def test_empty_documents_are_dropped_and_an_empty_corpus_is_refused(tmp_path):
    splits = prepare(tmp_path, [*TEXTS, "", "  ", "<br/>"])
    assert sum(map(len, splits.values())) == 300
    with pytest.raises(UserError, match="holds no text"):
        prepare(tmp_path, ["<br/>", " "], "empty")
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_split_without_documents_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"None of the 1 documents .*data\.splits\."):
        prepare(tmp_path, TEXTS[:1])


def test_splits_that_make_no_sense_are_refused():
    source = Source("x.txt", None, "text", "row")
    for splits in (
        {"validation": 0.6, "test": 0.5},
        {"validation": 0.0, "test": 0.1},
        {"validation": 1.5, "test": 0.1},
    ):
        with pytest.raises(UserError, match=r"data\.splits\.validation"):
            Documents(source, CLEANING, {"train": "train", **splits}, None)
    with pytest.raises(UserError, match=r"data\.splits\.train"):
        Documents(source, CLEANING, {"train": 0.9, "validation": 0.05, "test": 0.05}, None)
    with pytest.raises(UserError, match=r"data\.limit=0"):
        Documents(source, CLEANING, SPLITS, 0)


def test_shares_are_met():
    shares = {"validation": 0.1, "test": 0.2}
    splits = [split_of(f"document {i}", shares) for i in range(20_000)]
    assert splits.count("validation") == pytest.approx(2000, abs=5 * (20_000 * 0.1 * 0.9) ** 0.5)
    assert splits.count("test") == pytest.approx(4000, abs=5 * (20_000 * 0.2 * 0.8) ** 0.5)
