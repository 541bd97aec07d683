"""Batches of texts and their translations."""

import json

import numpy as np
import pytest
import torch

from maskwright.core.errors import UserError
from maskwright.data.parallel import ParallelText
from maskwright.text.tokenizer import Trained
from tests.data.conftest import CORPUS, take


@pytest.fixture
def make(translations, cache):
    def make_data(source=translations, **changes) -> ParallelText:
        settings = CORPUS | {
            "target": "translation",
            "source": str(source),
            "column": ["en", "de"],
            "tokenizer": Trained("bpe", 300, lowercase=False),
            "splits": {"train": "train", "validation": "validation", "test": "test"},
            "block_size": 64,
            "empty_share": 0.01,
            "tokens_per_batch": 200,
            "evaluation_tokens_per_batch": 400,
            "cache_dir": str(cache),
        }
        data = ParallelText(**settings | changes)
        data.prepare_data()
        data.setup()
        return data

    return make_data


def test_rows_hold_a_source_and_its_target(make):
    data = make()
    tokenizer = data.tokenizer
    batch = take(data.evaluation_loader("validation"), 1)[0]
    sources, targets = data.texts("validation"), data.targets("validation")
    assert len(sources) == len(targets) == 12
    assert data.size("train") == "300 pairs"
    for row, number in enumerate(batch["texts"].tolist()):
        ids, begins = batch["input_ids"][row], int(batch["begins"][row])
        ends = begins + int(batch["targets"][row])
        assert ids[0] == tokenizer.cls_id
        assert ids[begins - 1] == ids[ends] == tokenizer.sep_id
        assert tokenizer.decode(ids[1 : begins - 1].tolist()).strip() == sources[number]
        assert tokenizer.decode(ids[begins:ends].tolist()).strip() == targets[number]
        assert batch["source_tokens"][row] == begins - 2
        assert batch["token_types"][row, :begins].eq(0).all()
        assert batch["token_types"][row, begins : ends + 1].eq(1).all()
        assert batch["attention_mask"][row].sum() == ends + 1 if "attention_mask" in batch else True


def test_one_tokenizer_knows_both_languages(make):
    data = make()
    for text in (data.texts("train")[0], data.targets("train")[0]):
        ids = data.tokenizer.encode([text])[0][0]
        assert len(ids) < len(text) / 2


def test_batches_are_of_similar_length_and_begin_anywhere(make):
    data = make()
    for batch in take(data.train_dataloader(), 6):
        assert batch["input_ids"].numel() <= 200
    steps = take(data.train_dataloader(), 9)
    again = take(make().train_dataloader(), 9)
    assert all(torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(steps, again, strict=True))


def test_without_a_test_split_validation_is_tested(make):
    data = make()
    assert data.texts("test") == data.texts("validation")
    assert any("has no split test, so the validation split is tested too" in remark for remark in data.remarks())
    own = make(splits={"train": "train", "validation": "validation", "test": 0.2})
    assert own.texts("test") != own.texts("validation")
    assert not any("has no split test" in remark for remark in own.remarks())


def write(path, rows):
    path.write_text("".join(json.dumps({"en": a, "de": b}) + "\n" for a, b in rows))
    return path


SHARES = {"train": "train", "validation": 0.2, "test": 0.2}


def test_empty_translations_are_counted_and_left_out_or_refused(make, tmp_path):
    rows = [(f"one {n}", f"eins {n}") for n in range(98)] + [("two", " "), ("", "drei")]
    path = write(tmp_path / "pairs.jsonl", rows)
    data = make(path, splits=SHARES, empty_share=0.05)
    assert sum(len(data.rows[split]) for split in data.rows) == 98
    assert any("2 of 100 pairs with a text that is empty" in remark for remark in data.remarks())
    with pytest.raises(
        UserError, match=r"empty in 2 of 100 pairs \(2.0%\), the first of which is pair 99 .*data.empty_share=0.025"
    ):
        make(path, splits=SHARES)


def test_pairs_that_are_too_long_are_cut_and_told(make, tmp_path):
    rows = [("one " * (1 + n % 9), "eins " * (1 + n % 30)) for n in range(100)]
    data = make(write(tmp_path / "pairs.jsonl", rows), splits=SHARES, block_size=20)
    assert max(rows.lengths.max() for rows in data.rows.values()) == 20
    assert min(int(np.min(rows.lengths_of_texts)) for rows in data.rows.values()) >= 1
    assert any("train pairs are longer than data.block_size=20" in remark for remark in data.remarks())


def test_single_texts_and_other_tasks_are_refused(make):
    with pytest.raises(UserError, match="data.column names no two columns"):
        make(column="en")
    with pytest.raises(UserError, match="labels of the kind 'class'"):
        make(target="class")
