import json
import random
from itertools import chain

import pytest

from maskwright.core.engines import Preparation
from maskwright.core.errors import UserError
from maskwright.corpora.documents import open_documents, prepare_documents
from maskwright.corpora.recipe import Recipe, SourceRecipe
from maskwright.corpora.source import Source
from tests.texts import make_text

CLEANING = ("html_tags", "whitespace")
SPLITS = {"train": "train", "validation": 0.1, "test": 0.1}


def prepare(tmp_path, texts, name="corpus", splits=SPLITS, limit=None, workers=1):
    path = tmp_path / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    recipe = SourceRecipe(Source(str(path), None, "text", "row"), CLEANING, splits, limit)
    with Preparation(workers=workers).open() as engine:
        folder = prepare_documents(Recipe({"": recipe}), tmp_path, engine)
    return {name: split["text"][:] for name, split in open_documents(folder).items()}


TEXTS = [make_text(seed) for seed in range(300)]


def test_each_document_is_in_exactly_one_split(tmp_path):
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


def test_copies_of_a_document_are_in_the_same_split(tmp_path):
    copies = [f"  {text.upper()} " for text in TEXTS] + [text.replace(" ", "\n  ") for text in TEXTS]
    splits = prepare(tmp_path, TEXTS + copies)
    normal = {name: {" ".join(text.lower().split()) for text in texts} for name, texts in splits.items()}
    assert sum(map(len, normal.values())) == len(set.union(*normal.values())) == len(set(TEXTS))


def test_documents_do_not_depend_on_the_number_of_processes(tmp_path):
    one = prepare(tmp_path / "", TEXTS, "a")
    two = prepare(tmp_path / "", TEXTS, "b", workers=2)
    assert one == two


def test_named_splits_are_used_unchanged(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "set").mkdir()
    for split, texts in (("train", TEXTS[:200]), ("test", TEXTS[200:])):
        pq.write_table(pa.table({"text": texts}), tmp_path / "set" / f"{split}-00000.parquet")
    source = Source(str(tmp_path / "set"), None, "text", "row")
    recipe = SourceRecipe(source, CLEANING, {"train": "train", "validation": 0.1, "test": "test"}, None)
    with Preparation(workers=1).open() as engine:
        splits = open_documents(prepare_documents(Recipe({"": recipe}), tmp_path, engine))
    assert splits["test"]["text"][:] == TEXTS[200:]
    assert sorted(splits["train"]["text"][:] + splits["validation"]["text"][:]) == sorted(TEXTS[:200])


def test_limit_takes_the_first_documents(tmp_path):
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
