import json
import re

import numpy as np
import pytest
import torch

from maskwright.core.errors import UserError
from maskwright.masking import Constant, Corruption, Masker, Uniform, Vocabulary, Words
from maskwright.text.tokenizer import Trained
from tests.data.conftest import take
from tests.texts import make_text


def test_an_epoch_sees_every_block_once(make):
    data = make()
    blocks = len(data.blocks["train"])
    batches = take(data.train_dataloader(), 2 * blocks // 8)
    examples, epochs = (torch.cat([batch[name] for batch in batches]) for name in ("examples", "epochs"))
    assert examples[epochs == 0].sort().values.tolist() == list(range(blocks))
    assert {len(batch["examples"]) for batch in batches} == {8}
    evaluated = torch.cat([batch["examples"] for batch in data.val_dataloader()])
    assert evaluated.tolist() == list(range(len(data.blocks["validation"])))


@pytest.mark.parametrize(("kind", "size"), [("wordpiece", 120), ("bpe", 300), ("unigram", 120)])
def test_whole_word_masking_masks_the_words_of_the_text(make, kind, size):
    data = make(tokenizer=Trained(kind, size, lowercase=True))
    tokenizer = data.tokenizer
    [text_words] = [set(re.findall(r"\w+|[^\w\s]", " ".join(data.documents["train"]["text"][:]).lower()))]
    masker = Masker(
        Words(),
        Uniform(),
        Constant(0.3),
        Corruption(1, 0, 0),
        Vocabulary(len(tokenizer), tokenizer.mask_id, tokenizer.ordinary_ids),
        seed=0,
    )
    continuations = 0
    for batch in take(data.train_dataloader(), 10):
        hidden = masker(batch).input_ids == tokenizer.mask_id
        for ids, words, mask in zip(batch["input_ids"], batch["words"], hidden, strict=True):
            for word in words[mask].unique().tolist():
                assert mask[words == word].all()
                if 0 < word < words.max():  # the first and the last may be cut by the block
                    assert tokenizer.decode(ids[words == word].tolist()).strip() in text_words
                    continuations += int((words == word).sum()) - 1
    assert continuations > 10  # some words have several tokens


def test_evaluation_can_be_limited_to_evenly_spaced_blocks(make):
    data = make(evaluation_limit=10)
    blocks = len(data.blocks["validation"])
    evaluated = torch.cat([batch["examples"] for batch in data.val_dataloader()])
    assert len(evaluated) == 10
    assert set(evaluated.diff().tolist()) <= {blocks // 10, blocks // 10 + 1}


def test_batches_and_masks_do_not_depend_on_workers_or_batch_size(make):
    def masked_by_example(**changes):
        data = make(**changes)
        masker = Masker(
            Words(),
            Uniform(),
            Constant(0.15),
            Corruption(0.8, 0.1, 0.1),
            Vocabulary(len(data.tokenizer), data.tokenizer.mask_id, data.tokenizer.ordinary_ids),
            seed=3,
        )
        out = {}
        for batch in take(data.train_dataloader(), 64 // data.batch_size):
            masked = masker(batch)
            for row, key in enumerate(zip(batch["epochs"].tolist(), batch["examples"].tolist(), strict=True)):
                out[key] = masked.input_ids[row].tolist()
        return out

    plain = masked_by_example()
    assert len(plain) == 64
    assert masked_by_example(workers=2) == plain
    assert masked_by_example(batch_size=16) == plain
    assert masked_by_example(batch_size=4) == plain


def test_a_second_run_reads_what_the_first_wrote(make, monkeypatch):
    first = make()
    monkeypatch.setattr("maskwright.data.prepare.write_tokens", None)
    monkeypatch.setattr("maskwright.corpora.source.Source.read", None)
    second = make()
    assert np.array_equal(first.tokens["train"].ids, second.tokens["train"].ids)


def test_a_changed_source_or_setting_is_prepared_again(make, tmp_path):
    path = tmp_path / "a.jsonl"

    def write(number):
        path.write_text("".join(json.dumps({"text": make_text(seed)}) + "\n" for seed in range(number)))

    write(100)
    before = make(source=str(path))
    write(150)
    assert make(source=str(path)).tokens["train"].documents > before.tokens["train"].documents
    assert make(cleaning=["whitespace", "unicode_nfkc"]).documents_folder != make().documents_folder


def test_the_tokenizer_learns_from_the_training_split_only(make, monkeypatch):
    learned = []
    whole = Trained.make

    def listen(self, texts):
        learned.extend(text for batch in texts() for text in batch)
        return whole(self, texts)

    monkeypatch.setattr(Trained, "make", listen)
    data = make(tokenizer=Trained("wordpiece", 290, lowercase=True))
    assert learned == data.documents["train"]["text"][:]


def test_several_sources_form_one_corpus(make, corpus, films):
    own = {"cleaning": ["whitespace"], "splits": {"train": "train", "validation": 0.1, "test": 0.1}}
    reviews = {"source": str(films), "label": "label", "published": {"train": {"texts": 25000}}}
    reviews |= {
        "cleaning": ["html_tags"],
        "splits": {"train": "train+unsupervised", "validation": 0.2, "test": "test"},
    }
    both = make(source=None, sources={"films": reviews, "other": {"source": str(corpus), **own}})
    texts = {split: set(rows["text"][:]) for split, rows in both.documents.items()}
    for settings in (reviews, {"source": str(corpus), **own}):
        for split, rows in make(**settings).documents.items():
            assert set(rows["text"][:]) <= texts[split]
    assert sum(map(len, texts.values())) == 150 + 200
    assert both.remarks() == ["films: the split train of the source holds 60 texts; as published it has 25,000"]
    left_out = reviews | {"published": None, "splits": own["splits"]}
    assert make(source=None, sources={"films": left_out}).remarks() == [
        "films: the source has a split test of its own, but data.sources.films.splits.test=0.1 takes a share of what is "
        "trained on; data.sources.films.splits.test=test takes that split"
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": {"a": {"source": "x.txt"}}}, "either data.source or data.sources"),
        (
            {"source": None, "sources": {"a": {"sauce": "x.txt"}}},
            r"data\.sources\.a\.sauce is no setting.*'source'",
        ),
        ({"source": None, "sources": {"a": {"column": "text"}}}, r"data\.sources\.a\.source is missing"),
        (
            {"source": None, "sources": {"a": {"source": "x.txt"}}},
            r"data\.sources\.a: data\.splits\.train must name",
        ),
    ],
)
def test_invalid_sources_are_refused(make, changes, message):
    with pytest.raises(UserError, match=message):
        make(**changes)


def test_documents_are_a_dataset_dict(make):
    from datasets import DatasetDict

    documents = make().documents
    assert isinstance(documents, DatasetDict)
    assert documents["train"].column_names == ["text"]


def test_a_block_size_larger_than_the_corpus_is_refused(make):
    with pytest.raises(UserError, match=r"tokens, too few for one block of data\.block_size=100000"):
        make(block_size=100_000)
