"""Batches contain the annotations of their tokens, whatever the corpus and however it is read."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from maskwright.annotations import Collocations, Entities, Frequency, Lexicon, Tfidf
from maskwright.core.engines import Preparation
from maskwright.core.errors import UserError
from maskwright.masking.testing import make_masker
from maskwright.reports.masks import held_out
from tests.data.conftest import take
from tests.texts import make_text

ALL = (Collocations(), Entities(), Frequency(), Tfidf(), Lexicon())


def test_units_consist_of_whole_words_and_words_have_one_weight(make):
    for batch in take(make(annotations=ALL).train_dataloader(), 5):
        words = batch["words"]
        for name in ("collocations", "entities"):
            units = batch[name]
            assert torch.equal(units >= 0, words >= 0)
            joined = 0
            for row, own in zip(units, words, strict=True):
                for word in own[own >= 0].unique():
                    assert len(row[own == word].unique()) == 1
                joined += len(own.unique()) - len(row.unique())
            assert joined > 0 or name == "entities"  # this text has no entities of several words
            assert units.max() < units.shape[1]
        for name in ("frequency", "tfidf", "lexicon"):
            weights = batch[name]
            assert weights.dtype == torch.float32
            assert (weights[words < 0] == 0).all()
            assert (weights >= 0).all()
            for row, own in zip(weights, words, strict=True):
                for word in own[own >= 0].unique():
                    assert len(row[own == word].unique()) == 1
        assert (batch["frequency"][words >= 0] > 0).all()


def test_annotations_of_blocks_are_those_of_their_documents(make):
    """The concatenated annotations of all blocks equal those of the documents, each encoded separately."""
    data = make(annotations=ALL)
    texts = data.documents["validation"]["text"][:]
    rows, shard = data.encode(texts)
    blocks = data.blocks["validation"].read(np.arange(len(data.blocks["validation"])))
    real = (blocks["documents"] >= 0)[:, 1:-1] & (np.arange(30) < (blocks["documents"] >= 0).sum(1)[:, None] - 2)
    for name in ("frequency", "tfidf", "lexicon"):
        packed = blocks[name][:, 1:-1][real]
        alone = torch.cat(
            [row[1 : 1 + n] for row, n in zip(rows[name], np.diff(shard.ends, prepend=0), strict=True)]
        )
        assert np.allclose(packed, alone.numpy())
    for name in ("words", "collocations", "entities"):
        # units are numbered anew in each block, but open where they open in the documents
        opens = np.diff(blocks[name], axis=1)[:, 1:-1] > 0
        packed = np.concatenate([np.zeros((len(opens), 1), bool), opens], axis=1)
        own = np.concatenate(
            [
                np.diff(row.numpy(), prepend=-1)[1 : 1 + n] > 0
                for row, n in zip(rows[name], np.diff(shard.ends, prepend=0), strict=True)
            ]
        )
        inside = np.zeros_like(real)
        inside[:, 1:] = (blocks[name][:, 1:-2] >= 0) & (blocks[name][:, 2:-1] >= 0)
        assert (packed[real & inside] == own[(real & inside)[real]]).all()


def test_annotations_do_not_depend_on_the_number_of_processes(make, tmp_path):
    one = make(annotations=ALL)
    two = make(annotations=ALL, preparation=Preparation(workers=2), cache_dir=str(tmp_path))
    for split in ("train", "validation", "test"):
        for name in one.annotations:
            assert np.array_equal(one.blocks[split].annotations[name], two.blocks[split].annotations[name])


def test_masks_do_not_depend_on_the_number_of_workers(make):
    def masked(**changes):
        batches = take(make(annotations=ALL, **changes).train_dataloader(), 4)
        for units in (Collocations(), Entities()):
            yield torch.cat([make_masker(units=units)(batch).input_ids for batch in batches])
        for weights in (Frequency(), Tfidf(), Lexicon()):
            yield torch.cat([make_masker(weights=weights)(batch).input_ids for batch in batches])

    for one, two in zip(masked(), masked(workers=2), strict=True):
        assert torch.equal(one, two)


def test_annotations_are_prepared_once(make, monkeypatch):
    make(annotations=ALL)
    monkeypatch.setattr("maskwright.data.prepare.write_annotation", None)
    first = make(annotations=ALL)
    assert (first.annotation_folders["collocations"] / "collocations.tsv").is_file()
    with pytest.raises(TypeError):  # other settings need another preparation
        make(annotations=[Frequency(0.25)])


def test_statistics_come_from_the_training_split_only(make, monkeypatch):
    seen = []
    learn = Frequency.learn

    def listen(self, folder, shards, tokenizer):
        seen.extend(len(shard.ends) for shard in shards())
        learn(self, folder, shards, tokenizer)

    monkeypatch.setattr(Frequency, "learn", listen)
    data = make(annotations=[Frequency(0.125)])
    assert sum(seen) == data.tokens["train"].documents


@pytest.fixture
def tagged(tmp_path):
    """A folder in the hub's layout with words and tags, like CoNLL-2003."""
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    folder = tmp_path / "tagged"
    folder.mkdir()
    features = Features(
        {
            "tokens": Sequence(Value("string")),
            "ner_tags": Sequence(ClassLabel(names=["O", "B-PER", "I-PER", "B-LOC"])),
        }
    )
    sentence = {"tokens": ["Ada", "King", "of", "London", "wrote", "."], "ner_tags": [1, 2, 0, 3, 0, 0]}
    plain = {"tokens": make_text(3, 2).split(), "ner_tags": [0] * len(make_text(3, 2).split())}
    for split in ("train", "validation", "test"):
        rows = Dataset.from_list([sentence, plain] * 20, features=features)
        rows.to_parquet(folder / f"{split}-0.parquet")
    return folder


TAGGED = {
    "column": "tokens",
    "tags": "ner_tags",
    "splits": {"train": "train", "validation": "validation", "test": "test"},
}


def test_tags_of_a_corpus_become_units(make, tagged, tmp_path):
    data = make(annotations=[Entities()], source=str(tagged), **TAGGED)
    assert data.documents["train"]["text"][0] == "Ada King of London wrote ."
    # the rule would have left out the word that opens the sentence
    [row] = data.blocks["train"].read(np.array([0]))["entities"]
    words = data.blocks["train"].read(np.array([0]))["words"][0]
    first = [row[words == word].tolist()[0] for word in range(6)]
    assert first == [0, 0, 1, 2, 3, 4]


def test_the_rule_finds_units_where_tags_are_no_entities(make, tagged):
    data = make(annotations=[Entities()], source=str(tagged), **TAGGED, scheme="plain")
    ruled = make(annotations=[Entities("rule")], source=str(tagged), **TAGGED)
    found, expected = (own.blocks["train"].read(np.array([0]))["entities"] for own in (data, ruled))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheme": "plain"}, r"mask\.units\.source=tags, but the tags of the corpus are no entities"),
        ({"tags": "pos"}, r"has no column 'pos' \(data\.tags\)"),
        ({"column": "ner_tags", "tags": "tokens"}, r"holds 1 where a word is expected \(data\.column\)"),
    ],
)
def test_columns_that_are_not_tags_are_refused(make, tagged, changes, message):
    with pytest.raises(UserError, match=message):
        make(annotations=[Entities("tags")], source=str(tagged), **TAGGED | changes)


def test_pictures_of_a_tagged_corpus_show_its_tags(make, tagged):
    data = make(annotations=[Entities("tags")], source=str(tagged), **TAGGED)
    texts, tags = held_out(data, 2)
    batch, _ = data.encode(texts, tags)
    words = batch["words"][0]
    assert batch["entities"][0][words == 0][0] == batch["entities"][0][words == 1][0]  # Ada King
    free, _ = data.encode(["Ada King of London wrote ."])
    assert free["entities"].max() == batch["entities"][0].max() + 1  # the rule leaves out the first word


class Shifted(Frequency):
    """Another annotation with the same name and settings."""

    def open(self, folder, tokenizer):
        annotate = super().open(folder, tokenizer)
        return lambda shard: annotate(shard) + 1


class Short(Frequency):
    """Returns too few numbers."""

    def open(self, folder, tokenizer):
        return lambda shard: np.ones(3)


def test_another_class_is_another_annotation(make):
    one, other = (
        make(annotations=[kind()]).blocks["train"].annotations["frequency"] for kind in (Frequency, Shifted)
    )
    assert np.allclose(other, one + 1)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (Short(), r"Short\.open returned \(3,\) numbers for"),
        (Frequency(alpha=40.0), r"mask\.weights: frequency gives the weight .*e-"),
        (Frequency(alpha=-40.0), r"mask\.weights: frequency gives the weight .*e\+"),
        (Lexicon(power=2000.0), r"mask\.weights: lexicon gives the weight inf"),
    ],
)
def test_invalid_numbers_are_refused(make, annotation, message):
    with pytest.raises(UserError, match=message):
        make(annotations=[annotation])


def test_tags_beside_a_text_instead_of_words_are_refused(make, tagged, tmp_path, corpus):
    pq.write_table(pa.table({"tokens": ["a b"], "ner_tags": [["O"]]}), tmp_path / "bad-train.parquet")
    folder = tmp_path / "bad"
    folder.mkdir()
    (tmp_path / "bad-train.parquet").rename(folder / "train-0.parquet")
    with pytest.raises(UserError, match="does not hold a list of words .* and as many tags"):
        make(
            annotations=[Entities()],
            source=str(folder),
            **TAGGED | {"splits": {"train": "train", "validation": 0.1, "test": 0.1}},
        )
    with pytest.raises(UserError, match=r"has no column 'ner_tags' \(data\.tags\)"):
        make(annotations=[Entities()], tags="ner_tags")
    with pytest.raises(UserError, match=r"mask\.units\.source=tags, but the corpus has no tags"):
        make(annotations=[Entities("tags")])
