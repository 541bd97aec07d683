"""Batches of labelled text."""

import csv
import io
import json
import re
import tarfile
from collections.abc import Iterable
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from maskwright.core.case import Case
from maskwright.core.distributed import Rank
from maskwright.core.errors import UserError
from maskwright.corpora.source import Source
from maskwright.data.batching import Plan
from maskwright.data.label_spec import LabelSpec
from maskwright.data.labelled import LabelledData
from tests.data.conftest import CORPUS
from tests.texts import make_text

WORDS = ["Ada", "King", "of", "London", "wrote", "well-known", "notes", "."]
TAGS = ["B-PER", "I-PER", "O", "B-LOC", "O", "O", "O", "O"]


@pytest.fixture
def table(tmp_path):
    """120 texts of different lengths with a label each, as CSV."""
    path = tmp_path / "texts.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for seed in range(120):
            writer.writerow([make_text(seed, 1 + seed % 9), ["sad", "glad", "mad"][seed % 3]])
    return path


@pytest.fixture
def conll(tmp_path):
    """Documents of three sentences, as columns."""
    folder = tmp_path / "conll"
    folder.mkdir()
    sentence = "".join(f"{word} {tag}\n" for word, tag in zip(WORDS, TAGS, strict=True))
    for name in ("eng.train", "eng.testa", "eng.testb"):
        (folder / name).write_text(f"-DOCSTART- O\n\n{sentence}\n{sentence}\n{sentence}\n" * 10)
    return folder


@pytest.fixture
def make(cache):
    def make_data(source, **changes) -> LabelledData:
        settings = CORPUS | {
            "source": source and str(source),
            "label": "label",
            "splits": {"train": "train", "validation": 0.15, "test": 0.15},
            "block_size": 64,
            "tokens_per_batch": 256,
            "evaluation_tokens_per_batch": 512,
            "truncate": "head",
            "context": "none",
            "target": "class",
            "cache_dir": str(cache),
        }
        data = LabelledData(**settings | changes)
        data.prepare_data()
        data.setup()
        return data

    return make_data


NAMED = {"train": "train", "validation": "validation", "test": "test"}
TAGGED = {"column": "words", "label": None, "tags": "tags", "target": "tags", "splits": NAMED}


def test_a_row_holds_its_text_and_its_label(make, table):
    data = make(table, block_size=256)
    assert data.labels.names == ("glad", "mad", "sad")
    expected = {make_text(seed, 1 + seed % 9): ["sad", "glad", "mad"][seed % 3] for seed in range(120)}
    texts = data.documents["test"]["text"]
    seen = 0
    for batch in data.test_dataloader():
        for ids, text, target in zip(batch["input_ids"], batch["texts"], batch["targets"], strict=True):
            own = data.tokenizer.encode([texts[int(text)]])[0][0].tolist()
            padding = [data.tokenizer.pad_id] * (len(ids) - len(own) - 2)
            assert ids.tolist() == [data.tokenizer.cls_id, *own, data.tokenizer.sep_id, *padding]
            assert data.labels.names[target] == expected[texts[int(text)]]
            seen += 1
    assert seen == len(texts)


def test_an_epoch_has_each_row_once_and_little_padding(make, table):
    data = make(table)
    steps = data.steps(1)
    batches = list(islice(iter(data.train_dataloader()), steps))
    examples = torch.cat([batch["examples"] for batch in batches]).tolist()
    assert sorted(examples) == list(range(len(data.rows["train"])))
    assert all(batch["input_ids"].numel() <= 256 for batch in batches)
    seen = sum(int(batch.get("attention_mask", torch.ones_like(batch["input_ids"])).sum()) for batch in batches)
    assert seen / sum(batch["input_ids"].numel() for batch in batches) > 0.8
    again = torch.cat([b["examples"] for b in islice(iter(data.train_dataloader()), steps)]).tolist()
    assert again == examples
    following = torch.cat([b["examples"] for b in islice(iter(data.train_dataloader()), steps, 2 * steps)]).tolist()
    assert following != examples


def test_micro_batches_make_up_the_batch(make, table):
    whole = next(iter(make(table).train_dataloader()))
    micro_batches = list(islice(iter(make(table, accumulate_grad_batches=2).train_dataloader()), 2))
    examples = torch.cat([micro["examples"] for micro in micro_batches])
    assert sorted(examples.tolist()) == sorted(whole["examples"].tolist())


def test_truncate_both_shows_both_ends_of_a_long_text(make, table):
    data, whole = make(table, block_size=12, truncate="both"), make(table, block_size=2000)
    row = int(np.argmax(whole.rows["train"].lengths))
    zero = np.array([0])
    [long] = whole.rows["train"].read(np.array([row]), zero)["input_ids"]
    [short] = data.rows["train"].read(np.array([row]), zero)["input_ids"]
    assert short.tolist() == [*long[:6], *long[-6:]]


def test_windows_show_every_token_once(make, table, conll):
    for data in (make(table, block_size=12, truncate="windows"), make(conll, block_size=8, **TAGGED)):
        rows, tokens = data.rows["train"], data.tokens["train"]
        edges = zip(rows.segments.begins, rows.segments.ends, strict=True)
        shown = [token for begin, end in edges for token in range(begin, end)]
        separators = set((np.asarray(tokens.ends) - 1).tolist())
        assert sorted(shown) == sorted(set(range(len(tokens.ids))) - separators)
        assert data.size("train") == f"{len(tokens.ends)} texts in {len(rows)} rows"
    assert make(table).size("train") == f"{len(make(table).rows['train'])} examples"


def test_the_last_window_of_a_text_is_filled_up(make, table):
    data = make(table, block_size=12, truncate="windows")
    rows = data.rows["train"]
    assert np.bincount(rows.documents).max() > 1
    for text in range(len(data.tokens["train"].ends)):
        own = np.flatnonzero(rows.documents == text)
        if len(own) > 1:
            assert set(rows.lengths[own]) == {12}


def test_each_word_is_predicted_once_whatever_the_window(make, conll):
    for block_size in (8, 64):
        data = make(conll, block_size=block_size, **TAGGED)
        assert data.labels.names == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
        found: dict[tuple[int, int], str] = {}
        for batch in data.test_dataloader():
            for row in range(len(batch["texts"])):
                for place, target in zip(
                    batch["places"][row][batch["valid"][row]],
                    batch["targets"][row][batch["valid"][row]],
                    strict=True,
                ):
                    key = int(batch["texts"][row]), int(place)
                    assert key not in found
                    found[key] = data.labels.names[int(target)]
        assert len(found) == 30 * len(WORDS)
        assert all(found[text, place] == TAGS[place] for text, place in found)


def test_evaluation_batches_hold_the_tags_of_all_words(make, tmp_path):
    """Including words without a token, once for each text, whatever the window. Training batches do not."""
    sentences = ["\u200b B-PER\nSmith I-PER\n" + "wrote O\n" * number for number in (3, 40, 11)]
    for name in ("eng.train", "eng.testa", "eng.testb"):
        (tmp_path / name).write_text("\n".join(sentences))
    data = make(tmp_path, **TAGGED, cleaning=["control_characters"], block_size=16)
    found = {}
    for batch in data.test_dataloader():
        for text, opens, tags in zip(batch["texts"].tolist(), batch["opens"], batch["gold"], strict=True):
            known = tags[tags >= 0].tolist()
            assert bool(known) == bool(opens)
            assert tags.tolist() == known + [-1] * (len(tags) - len(known))
            if known:
                assert text not in found
                found[text] = [data.labels.names[tag] for tag in known]
    assert found == {i: ["B-PER", "I-PER", *["O"] * number] for i, number in enumerate((3, 40, 11))}
    assert "gold" not in next(iter(data.train_dataloader()))


def test_batches_hold_the_bits_of_values(make, tmp_path):
    values = [1 / (seed + 3) for seed in range(60)]
    rows = "".join(f"{make_text(seed, 2)!r},{value!r}\n".replace("'", '"') for seed, value in enumerate(values))
    (tmp_path / "values.csv").write_text(f"text,label\n{rows}")
    data = make(tmp_path / "values.csv", target="value")
    for batch in data.test_dataloader():
        assert torch.equal(batch["target_bits"].view(torch.float32), batch["targets"])
        assert {float(x) for x in batch["targets"]} <= {float(np.float32(value)) for value in values}
    training = data.rows["train"].targets
    assert (data.labels.mean, data.labels.std) == (float(np.mean(training)), float(np.std(training)))


def test_label_specifications_have_names_and_counts(make, table, conll):
    data = make(table)
    counts = np.bincount(data.rows["train"].targets, minlength=3)
    assert data.labels == LabelSpec("class", ("glad", "mad", "sad"), tuple(counts.tolist()))
    assert make(conll, **TAGGED).labels == LabelSpec(
        "tags", ("O", "B-LOC", "I-LOC", "B-PER", "I-PER"), (150, 30, 0, 30, 30)
    )


def test_words_are_represented_by_their_first_tokens(make, conll):
    data = make(conll, **TAGGED)
    batch = data.rows["test"].read(np.array([0]), np.array([0]))
    ids = data.tokenizer.encode([" ".join(WORDS)])[0][0]
    tokens = [data.tokenizer.backend.id_to_token(i) for i in batch["input_ids"][0][batch["positions"][0]]]
    assert [token[0] for token in tokens] == [word[0].lower() for word in WORDS]
    assert len(ids) > len(WORDS)
    first, lower, none = Case.FIRST, Case.LOWER, Case.NO_LETTERS
    assert batch["cases"].tolist() == [[first, first, lower, first, lower, lower, lower, none]]


def test_a_row_opens_its_text_even_if_the_first_word_has_no_token(make, tmp_path):
    for name in ("eng.train", "eng.testa", "eng.testb"):
        (tmp_path / name).write_text("\u200b B-PER\nSmith I-PER\n" + "wrote O\n" * 40)
    data = make(tmp_path, **TAGGED, cleaning=["control_characters"], block_size=32)
    batch = data.rows["test"].read(np.array([0, 1]), np.array([0, 0]))
    assert batch["places"][0, 0] == 1
    assert batch["opens"].tolist() == [True, False]


def test_context_is_limited_to_the_document(make, conll):
    alone, within = make(conll, **TAGGED), make(conll, context="document", block_size=200, **TAGGED)
    lengths = set(within.rows["train"].lengths.tolist())
    sentence = int(alone.rows["train"].lengths[0]) - 2
    assert lengths == {3 * sentence + 2 + 2}  # three sentences, a separator between two, [CLS] and [SEP]
    batch = within.rows["train"].read(np.array([1]), np.array([0]))
    assert batch["valid"].sum() == len(WORDS)
    assert batch["positions"].min() > sentence


def sentences(documents: Iterable[str], marked: bool = True) -> str:
    """Returns columns with documents of three sentences, each of which contains the name of its document."""
    return "".join(
        ("-DOCSTART- O\n\n" if marked else "") + "".join(f"the O\nz{x}z B-X\n{n} O\n\n" for n in range(3))
        for x in documents
    )


def documents_shown(data: LabelledData) -> list[set[str]]:
    """Returns the names of the documents that each row shows, for the rows of all splits."""
    found = []
    for rows in data.rows.values():
        batch = rows.read(np.arange(len(rows)), np.zeros(len(rows), np.int64))
        found += [
            set(re.findall(r"z(\w+)z", data.tokenizer.decode(ids[ids != data.tokenizer.pad_id].tolist())))
            for ids in batch["input_ids"]
        ]
    return found


WITHIN = TAGGED | {"context": "document", "block_size": 200}


def test_context_stays_in_its_document_if_the_first_sentence_is_left_out(make, tmp_path):
    for name in ("eng.train", "eng.testa", "eng.testb"):
        text = "".join(sentences(x).replace("\n\n", "\n\n\x01 O\n\n", 1) for x in "abcdef")
        (tmp_path / name).write_text(text)
    data = make(tmp_path, cleaning=["control_characters", "whitespace"], **WITHIN)
    assert "18 of 72 texts empty after cleaning, so left out" in data.remarks()[0]
    assert documents_shown(data) == [{x} for x in "abcdef" * 3 for _ in range(3)]


def test_context_stays_in_its_document_if_splits_are_shares(make, tmp_path):
    names = [x + y for x in "abcd" for y in "abcd"]
    (tmp_path / "all.conll").write_text(sentences(names))
    data = make(tmp_path / "all.conll", **WITHIN | {"splits": {"train": "train", "validation": 0.3, "test": 0.3}})
    assert sorted(documents_shown(data), key=min) == [{name} for name in names for _ in range(3)]


def test_context_stays_in_its_file_and_in_its_split_of_the_source(make, tmp_path):
    for name, x in {"a.train": "a", "b.train": "b", "a.testa": "c", "a.testb": "ac"}.items():
        (tmp_path / name).write_text(sentences([x], marked=False) * 5)
    data = make(tmp_path, **WITHIN | {"splits": NAMED | {"train": "train+validation"}})
    assert documents_shown(data) == [{x} for x in ("a", "b", "c", "c", "ac") for _ in range(15)]


def test_sources_of_entities_and_of_other_tags_are_not_mixed(make, tmp_path):
    sources = {}
    for name, tag in (("names", "B-X"), ("classes", "NN")):
        (tmp_path / f"{name}.conll").write_text(
            f"a {tag}\nb O\nc VB\n\n".replace("VB", "O" if tag[1] == "-" else "VB")
        )
        sources[name] = {"source": str(tmp_path / f"{name}.conll"), "column": "words", "tags": "tags"}
        sources[name] |= {"splits": dict.fromkeys(NAMED, "train")}
    with pytest.raises(UserError, match=r"tags of data\.sources\.classes are no entities"):
        make(None, sources=sources, **TAGGED)


def test_context_stays_in_its_source(make, tmp_path):
    sources = {}
    for x in "ab":
        (tmp_path / f"{x}.conll").write_text(sentences(x, marked=False) * 5)
        sources[x] = {"source": str(tmp_path / f"{x}.conll"), "column": "words", "tags": "tags"}
        sources[x] |= {"splits": dict.fromkeys(NAMED, "train")}
    data = make(None, sources=sources, **WITHIN)
    assert documents_shown(data) == [{x} for x in "ab" * 3 for _ in range(15)]


def test_docstart_rows_of_hub_data_sets_open_documents(make, tmp_path):
    rows = []
    for x in "abcdef":
        rows += [{"words": ["-DOCSTART-"], "tags": ["O"]}]
        rows += [{"words": ["the", f"z{x}z", str(n)], "tags": ["O", "B-X", "O"]} for n in range(3)]
    for split in NAMED:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{split}-0.parquet")
    data = make(tmp_path, **WITHIN)
    assert documents_shown(data) == [{x} for x in "abcdef" * 3 for _ in range(3)]
    assert data.findings[""].by_split["train"]["texts"] == 18


def test_texts_without_tokens_are_empty_rows_and_reported(make, tmp_path):
    path = tmp_path / "texts.csv"
    rows = [(make_text(seed, 2), "xy"[seed % 2]) for seed in range(40)] + [("\x01", "x"), ("\x02\x01", "y")]
    path.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows))
    data = make(path, splits=dict.fromkeys(NAMED, "train"))
    lost = [f"2 of 42 {split} texts without a token" for split in NAMED]
    assert data.remarks() == [f"text lost: {', '.join(lost)}"]
    batch = data.rows["test"].read(np.array([40, 41]), np.array([0, 0]))
    assert batch["input_ids"].tolist() == [[data.tokenizer.cls_id, data.tokenizer.sep_id]] * 2


def test_the_loader_continues_where_a_run_stopped(make, table):
    data = make(table)
    plan = Plan(data.rows["train"].lengths, 256, 1)
    first = len(plan.batches(0))
    whole = [b["examples"].tolist() for b in islice(iter(data.train_dataloader()), first + 3)]

    class Trainer:
        global_step, global_rank, world_size = first + 1, 0, 1
        strategy = type("Strategy", (), {"root_device": torch.device("cpu")})

    data.trainer = Trainer()  # type: ignore[assignment]
    assert [b["examples"].tolist() for b in islice(iter(data.train_dataloader()), 2)] == whole[first + 1 :]


def test_the_original_archive_of_imdb_is_read(make, tmp_path):
    path = tmp_path / "aclImdb_v1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for split in ("train", "test"):
            for label in ("neg", "pos", "unsup"):
                for number in range(20 if (split, label) != ("test", "unsup") else 0):
                    content = f"{label} {split} {make_text(number, 2)}<br />".encode()
                    member = tarfile.TarInfo(f"aclImdb/{split}/{label}/{number}_1.txt")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    splits = {"train": "train", "validation": 0.2, "test": "test"}
    data = make(path, splits=splits)
    assert data.labels.names == ("neg", "pos")
    assert len(data.rows["test"]) == 40
    first = data.documents["test"][0]["text"]
    assert first.startswith(data.labels.names[int(data.rows["test"].targets[0])])
    with pytest.raises(UserError, match="texts of the train split have no label"):
        make(path, splits=splits | {"train": "train+unsupervised"})
    with pytest.raises(UserError, match="has no split 'dev'"):
        make(path, splits=splits | {"validation": "dev"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "sentiment"}, r"no column 'sentiment' \(data\.label\)"),
        ({"label": None}, r"data\.label names no column"),
        ({"labels": ["glad", "sad"]}, r"line \d+, has the label 'mad' \(data\.label\), which data\.labels"),
        ({"labels": []}, r"data\.labels=\[\] must name at least 2, and each once"),
        ({"labels": ["sad", "glad", "mad", "sad"]}, r"data\.labels=.* must name at least 2, and each once"),
        ({"target": "value"}, "no finite number"),
        ({"target": "tags"}, r"data\.tags names no column"),
        ({"splits": {"train": "train", "validation": "dev", "test": 0.1}}, "has none|split 'dev'"),
    ],
)
def test_invalid_labels_are_refused(make, table, changes, message):
    with pytest.raises(UserError, match=message):
        make(table, **changes)


def test_unknown_labels_are_reported_with_their_line_even_if_documents_are_cached(make, table, conll):
    make(table)
    with pytest.raises(UserError, match=r"texts\.csv, line 4, has the label 'mad' \(data\.label\)"):
        make(table, labels=["glad", "sad"])
    make(conll, **TAGGED)
    with pytest.raises(UserError, match=r"eng\.train, line 6, has the tag 'B-LOC'.*Did you mean 'B-LOK'"):
        make(conll, labels=["O", "B-PER", "I-PER", "B-LOK"], **TAGGED)


def test_a_device_without_an_example_is_refused(make, table, monkeypatch):
    data = make(table)
    monkeypatch.setattr(LabelledData, "rank", Rank(0, 500))
    with pytest.raises(UserError, match=r"hardware\.devices=500, but only \d+ examples of the test split"):
        data.test_dataloader()


def test_unknown_labels_are_reported_even_if_the_source_no_longer_has_them(make, table, monkeypatch):
    make(table)
    monkeypatch.setattr(Source, "read", lambda *_, **__: [])
    with pytest.raises(UserError, match=r"There are texts with the label 'mad' \(data\.label\)"):
        make(table, labels=["glad", "sad"])


@pytest.mark.parametrize(
    ("spelled", "names"),
    [
        (["10", "-1", "9"], ["-1", "9", "10"]),
        (["1", "01", "0"], ["0", "01", "1"]),
        (["1", "²", "--1"], ["--1", "1", "²"]),
        (["1", "2.5"], ["1", "2.5"]),
    ],
)
def test_classes_are_sorted_as_numbers_if_all_are_numbers(make, tmp_path, spelled, names):
    rows = "".join(f'"{make_text(seed, 2)}",{spelled[seed % len(spelled)]}\n' for seed in range(60))
    (tmp_path / "odd.csv").write_text(f"text,label\n{rows}")
    assert make(tmp_path / "odd.csv").labels.names == tuple(names)


def test_file_names_determine_splits(make, tmp_path):
    for name, label in (("train", "a"), ("validation", "b"), ("test", "b")):
        rows = "".join(
            f"{make_text(seed, 2)!r},{'ab'[seed % 2] if label == 'a' else label}\n" for seed in range(20)
        )
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}".replace("'", '"'))
    data = make(tmp_path, splits=NAMED)
    assert len(data.rows["train"]) == len(data.rows["validation"]) == 20
    assert data.remarks() == []
    left_out = [
        f"the source has a split {split} of its own, but data.splits.{split}=0.2 takes a share of what is trained on; "
        f"data.splits.{split}={split} takes that split"
        for split in ("validation", "test")
    ]
    assert make(tmp_path, splits={"train": "train", "validation": 0.2, "test": 0.2}).remarks() == left_out
    assert make(tmp_path, splits=NAMED | {"validation": 0.2}).remarks() == left_out[:1]
    assert make(tmp_path, splits=NAMED | {"train": "train+validation", "validation": 0.2}).remarks() == []


def test_oddities_of_a_corpus_are_reported(make, tmp_path):
    path = tmp_path / "odd.csv"
    rows = [f'"{make_text(seed, 2)}",{["x", "y"][seed % 2]}' for seed in range(40)] + ['" ",x']
    path.write_text("text,label\n" + "\n".join(rows))
    data = make(path, labels=["x", "y", "z"], published={"train": {"texts": 50}})
    assert data.remarks() == [
        "text lost: 1 of 41 texts empty after cleaning, so left out",
        "the split train of the source holds 41 texts; as published it has 50",
        "the training split has no example of 'z', so it cannot be learned",
    ]


def test_counts_of_words_and_entities_are_compared_with_published_ones(make, conll):
    data = make(conll, published={"train": {"texts": 30, "words": 239, "entities": 61}}, **TAGGED)
    assert data.remarks()[:2] == [
        "the split train of the source holds 240 words; as published it has 239",
        "the split train of the source holds 60 entities; as published it has 61",
    ]


@pytest.mark.parametrize("layout", ["no column", "-1", "empty"])
def test_a_test_split_without_labels_is_left_out(make, tmp_path, layout):
    folder = tmp_path / "reviews"
    folder.mkdir()
    rows = [{"text": make_text(seed, 2), "label": seed % 2} for seed in range(40)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    without = {"no column": {}, "-1": {"label": -1}, "empty": {"label": None}}[layout]
    (folder / "test.jsonl").write_text("".join(json.dumps({"text": row["text"]} | without) + "\n" for row in rows))
    for target in ("class", "value"):
        data = make(folder, splits={"train": "train", "validation": 0.2, "test": "test"}, target=target)
        assert set(data.unlabelled) == {"test"}
        assert data.labels.names == (("0", "1") if target == "class" else ())
        assert "the test split has no labels, so it is left out" in " ".join(data.remarks())
        assert data.size("test") == "40 texts without labels"
        with pytest.raises(UserError, match="None of the texts of the test split has a label"):
            data.test_dataloader()
    with pytest.raises(
        UserError, match="texts of the train split have no label|All texts have the label|has no column 'label'"
    ):
        make(folder, splits={"train": "test", "validation": 0.2, "test": 0.2})


def test_numbers_in_steps_as_classes_are_one_remark(make, tmp_path):
    path = tmp_path / "stsb.csv"
    path.write_text("text,label\n" + "".join(f'"{make_text(seed, 2)}",{seed % 50 / 10}\n' for seed in range(200)))
    remarks = [remark for remark in make(path).remarks() if "class" in remark or "no example" in remark]
    assert len(remarks) == 1
    assert "each of the 50 numbers" in remarks[0]
    assert "task=regression" in remarks[0]
    assert not any("task=regression" in remark for remark in make(path, target="value").remarks())
