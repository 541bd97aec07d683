"""Pseudo-log-likelihoods and minimal pairs, against one mask at a time."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from maskwright.core.errors import UserError
from maskwright.corpora.lines import lines_of
from maskwright.corpora.pairs import Pair, read_pairs
from maskwright.inference.minimal_pairs import accuracy
from maskwright.inference.score import METHODS, score
from maskwright.run import ask
from maskwright.run.saved import SavedRun
from maskwright.run.score import run_score
from tests.conftest import compose_command
from tests.corpora.compressions import COMPRESSIONS
from tests.inference.test_masked_model import ENCODERS, make, tokenizer  # noqa: F401  a fixture
from tests.texts import make_text


def reference(model, text, method):
    """The log-probability of each token, one row at a time."""
    [encoded] = model.encode([text])
    words, found = encoded.words, []
    for i, token in enumerate(encoded.ids):
        row = model.row(encoded.ids)
        word = np.flatnonzero(words == words[i])
        own = {"original": [i], "word_l2r": word[word >= i], "whole_word": word}[method]
        row[np.array(own) + 1] = model.tokenizer.mask_id
        with torch.no_grad():
            logits = model.head(model.encoder(torch.tensor(row)[None]))[0, i + 1]
        found.append(logits.log_softmax(-1)[token].item())
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["transformer", "lstm"])
def test_scores_are_those_of_one_mask_at_a_time(name, method, tokenizer):  # noqa: F811
    model = make(name, tokenizer, tokens_per_batch=200)
    texts = [make_text(seed, 1) for seed in range(3)] + ["", "Unbelievable!"]
    found = score(model, texts, method)
    assert [own.encoded.text for own in found] == texts
    for own in found:
        assert own.log_probabilities.tolist() == pytest.approx(reference(model, own.encoded.text, method), abs=2e-4)
    assert (
        max(len(own.encoded.ids) - own.encoded.words.max(initial=-1) for own in found) > 2
    )  # words of several tokens


def test_what_a_score_sums_up_to(tokenizer):  # noqa: F811
    [found, empty] = score(make("mlp", tokenizer), ["Große Tür", ""])
    assert found.bytes == 11
    assert found.pll == pytest.approx(found.log_probabilities.sum(), rel=1e-6)
    assert found.pseudo_perplexity == pytest.approx(math.exp(-found.pll / len(found.log_probabilities)))
    assert found.bits_per_byte == pytest.approx(-found.pll / math.log(2) / 11)
    assert (empty.pll, len(empty.log_probabilities)) == (0, 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_long_text_is_read_in_windows(method, tokenizer):  # noqa: F811
    model = make("transformer", tokenizer, max_length=14)
    text = make_text(3, 4)
    with pytest.raises(UserError, match=r"tokens, but the model reads rows of 12\. .*long=windows"):
        score(model, [text], method, "refuse")
    [found] = score(model, [text], method)
    whole = model.encode([text])[0]
    assert len(found.log_probabilities) == len(whole.ids) > 30
    assert (found.log_probabilities < 0).all()
    short = make("transformer", tokenizer)
    [first] = score(short, [text[: whole.offsets[11][1]]], "original")
    if method == "original":  # the first window is a text by itself
        assert found.log_probabilities[:6] == pytest.approx(first.log_probabilities[:6], abs=1e-4)


def test_a_published_score_of_bert():
    """Salazar et al. print it for bert-base-cased, and so does minicons."""
    folder = os.environ.get("BERT_BASE_CASED")
    if folder is None:
        pytest.skip("BERT_BASE_CASED names no folder with bert-base-cased")
    from maskwright.inference.masked_model import MaskedModel

    saved = SavedRun.open(folder)
    [found] = score(MaskedModel(saved.encoder, saved.head, saved.tokenizer), ["Hello world!"], "original")
    assert found.log_probabilities == pytest.approx([-6.1267, -5.5014, -0.7825], abs=2e-3)


def test_minicons_scores_the_same(hub_model):
    scorer = pytest.importorskip("minicons.scorer", reason="minicons is not installed")
    from maskwright.inference.masked_model import MaskedModel

    saved = SavedRun.open(hub_model)
    model = MaskedModel(saved.encoder, saved.head, saved.tokenizer)
    texts = [make_text(seed, 1) for seed in range(4)]
    theirs = scorer.MaskedLMScorer(str(hub_model), "cpu")
    theirs.tokenizer.batch_encode_plus = theirs.tokenizer  # the name that it had before transformers 5
    for ours, metric in (("original", "original"), ("word_l2r", "within_word_l2r")):
        expected = theirs.sequence_score(texts, reduction=lambda x: x.sum().item(), PLL_metric=metric)
        assert [own.pll for own in score(model, texts, ours)] == pytest.approx(expected, abs=1e-3)


def pair(paradigm, phenomenon="p"):
    return Pair("good", "bad", paradigm, phenomenon)


def test_equal_scores_count_one_half():
    pairs = [pair("a")] * 3 + [pair("b")] + [pair("c", "q")] * 2
    found = accuracy(pairs, [1, 2, 3, 0, 1, 1], [1, 1, 4, 1, 1 + 5e-5, 0])
    assert found.by_paradigm == {"a": 0.5, "b": 0, "c": 0.75}
    assert found.by_phenomenon == {"p": 0.25, "q": 0.75}
    assert found.overall == pytest.approx(1.25 / 3)
    collapsed = accuracy(pairs, [0] * 6, [0] * 6)
    assert collapsed.overall == 0.5
    interval = accuracy([pair("a")] * 400, np.arange(400) % 2, [0.5] * 400).interval(0, ["a"])
    assert 0.4 < interval.low < 0.5 < interval.high < 0.6


def test_the_formats_of_pairs(tmp_path):
    (tmp_path / "agreement-simple.txt").write_text("this dogs\nthis dog\nthese dog\nthese dogs\n")
    assert read_pairs(tmp_path / "agreement-simple.txt") == [
        Pair("this dog", "this dogs", "agreement-simple", "agreement"),
        Pair("these dogs", "these dog", "agreement-simple", "agreement"),
    ]
    row = {"sentence_good": "Yes.", "sentence_bad": "No.", "UID": "u", "linguistics_term": "t", "field": "f"}
    (tmp_path / "u.jsonl").write_text(json.dumps(row) + "\n\n" + json.dumps({**row, "sentence_bad": "Not."}) + "\n")
    assert read_pairs(tmp_path / "u.jsonl")[1] == Pair("Yes.", "Not.", "u", "t")
    (tmp_path / "own.csv").write_text('good,bad\n"A, B.",B.\n')
    assert read_pairs(tmp_path / "own.csv") == [Pair("A, B.", "B.", "own", "own")]
    (tmp_path / "broken.csv").write_text('good,bad\n"One\ntwo.",Two.\n')
    assert read_pairs(tmp_path / "broken.csv") == [Pair("One\ntwo.", "Two.", "broken", "broken")]
    (tmp_path / "broken.csv").unlink()
    (tmp_path / "two.csv").write_text("good,bad,paradigm,phenomenon\nA,B,x,y\n")
    assert read_pairs(tmp_path / "two.csv") == [Pair("A", "B", "x", "y")]
    assert len(read_pairs(tmp_path)) == 6
    assert len(read_pairs(tmp_path, limit=1)) == 4


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "one\ntwo\nthree\n", r"a\.txt, line 3: the line with the right sentence is missing after it"),
        ("a.txt", "same\nsame\n", r"a\.txt, line 2: both sentences of the pair are 'same'"),
        ("a.txt", "one\n\n", r"a\.txt, line 2: a sentence of the pair is missing"),
        ("a.txt", "", r"a\.txt holds no pairs"),
        ("a.jsonl", "{", r"a\.jsonl, line 1: this is not JSON"),
        ("a.jsonl", "[]", r"a\.jsonl, line 1: this is no JSON object"),
        (
            "a.jsonl",
            '{"sentence_good": "x"}',
            r"a\.jsonl, line 1: 'sentence_bad' is missing\. It has sentence_good",
        ),
        ("a.csv", "good,worse\nx,y\n", r"a\.csv, line 2: 'bad' is missing"),
        ("a.tsv", "x", r"a\.tsv is no format that is known"),
        ("a.txt", b"gut\nsch\xf6n\n", r"a\.txt, line 2: the byte 4 is not UTF-8"),
    ],
)
def test_what_is_wrong_with_pairs_is_said(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=said):
        read_pairs(tmp_path / name)


def test_other_places_of_pairs_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"missing\.csv does not exist"):
        read_pairs(tmp_path / "missing.csv")
    with pytest.raises(UserError, match=r"holds no files that end in \.jsonl, \.txt, \.csv"):
        read_pairs(tmp_path)


def run(*overrides):
    return run_score(compose_command("score", "hardware=cpu", *overrides))


def test_texts_of_every_kind_are_scored(hub_model, tmp_path, capsys):
    file = tmp_path / "texts.txt"
    file.write_text("A house.\n\nThe old house.\n")
    assert run(f"run={hub_model}", f"file={file}", f"output={tmp_path / 'out.jsonl'}") == 3
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == ["A house.", "", "The old house."]
    assert rows[0]["pll"] == pytest.approx(sum(rows[0]["log_probability"]), abs=1e-4)
    assert len(rows[0]["token"]) == rows[0]["tokens"]
    assert rows[1]["bits_per_byte"] is None
    capsys.readouterr()
    assert run(f"run={hub_model}", "text=A house.", "output=-") == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == rows[0]
    assert "bits per byte" in err
    assert run(f"run={hub_model}", "text=A house.") == 1
    assert "pseudo-perplexity" in capsys.readouterr().out


def test_the_total_of_a_continued_file_is_that_of_all_texts(hub_model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ask, "WINDOW", 2)
    file, output = tmp_path / "texts.txt", tmp_path / "out.jsonl"
    file.write_text("A house.\nThe old house.\nA cat.\nThe cat.\nA dog.\n")
    given = [f"run={hub_model}", f"file={file}", f"output={output}"]
    run(*given)
    expected = capsys.readouterr().out
    output.unlink()
    real, calls = score, []

    def stopped(*arguments):
        calls.append(arguments)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr("maskwright.run.score.score", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(*given)
    capsys.readouterr()
    run(*given)
    out, err = capsys.readouterr()
    assert "2 rows were there already" in err
    total = next(line for line in expected.splitlines() if line.startswith("texts: 5"))
    assert total in out.splitlines()


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_compressed_texts_are_read_and_damaged_ones_refused(tmp_path, ending):
    text = "".join(f"line {number} of this file\n" for number in range(2000)).encode()
    file = tmp_path / f"texts.txt.{ending}"
    file.write_bytes(COMPRESSIONS[ending](text))
    assert list(lines_of(file, "file")) == text.decode().splitlines()
    whole = file.read_bytes()
    for damaged in (whole[:-40], b"no archive", whole[:-200] + bytes(20) + whole[-180:]):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=r"file=.*texts\.txt\..* cannot be read: "):
            list(lines_of(file, "file"))


def test_pairs_are_scored_beside_their_controls(hub_model, tmp_path, capsys):
    pairs, output = tmp_path / "agreement-a.txt", tmp_path / "out.jsonl"
    pairs.write_text("".join(f"the cats is {n}\nthe cat is {n}\n" for n in "abcd"))
    given = [f"run={hub_model}", f"pairs={pairs}", f"output={output}"]
    assert run(*given) == 4
    assert run(*given, "overwrite=true", "limit=3") == 3
    paradigm, phenomenon, overall = (json.loads(line) for line in output.read_text().splitlines())
    assert (paradigm["level"], paradigm["name"], paradigm["pairs"]) == ("paradigm", "agreement-a", 3)
    assert overall["accuracy"] == phenomenon["accuracy"] == paradigm["accuracy"] == np.mean(paradigm["outcomes"])
    assert overall["constant"] == 1  # the right sentences are shorter
    assert 0 <= overall["untrained"] <= 1
    assert "agreement" in capsys.readouterr().out
    with pytest.raises(UserError, match="is finished already"):
        run(*given)


def test_zorro_has_23_paradigms():
    folder = Path(__file__).parents[3] / "shared" / "data" / "phueb" / "Zorro"
    if not folder.is_dir():
        pytest.skip("there is no ../shared/data")
    pairs = read_pairs(folder)
    assert len({own.paradigm for own in pairs}) == 23
    assert len({own.phenomenon for own in pairs}) == 13
    assert len(pairs) == 46_000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], r"There are no texts"),
        (["text=a", "file=b"], r"text and file are both given"),
        (["text=a", "pairs=b"], r"pairs and text or file are both given"),
        (["file=missing.txt"], r"file=missing\.txt does not exist"),
        (["text=a", "checkpoint=first"], r"checkpoint=first does not exist"),
        (["text=a", "output=scores.txt"], r"output=scores\.txt is no format"),
        (["text=a", "method=l2r"], r"method"),
    ],
)
def test_what_is_wrong_is_said(hub_model, given, said):
    with pytest.raises(UserError, match=said):
        run(f"run={hub_model}", *given)


def test_files_that_are_no_texts_are_refused(hub_model, tmp_path):
    empty, latin = tmp_path / "empty.txt", tmp_path / "latin.txt"
    empty.touch()
    latin.write_bytes("eins\nschön\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"empty\.txt is empty"):
        run(f"run={hub_model}", f"file={empty}")
    with pytest.raises(UserError, match=r"latin\.txt, line 2: the byte 4 is not UTF-8"):
        run(f"run={hub_model}", f"file={latin}")
    long = "the house " * 60
    with pytest.raises(UserError, match=r"reads rows of 62\. .*long=windows"):
        run(f"run={hub_model}", f"text={long}")
    assert run(f"run={hub_model}", f"text={long}", "long=windows") == 1


def test_models_without_masked_tokens_are_refused(tmp_path, hub_model):
    import transformers

    transformers.BertModel.from_pretrained(hub_model).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text((hub_model / name).read_text())
    with pytest.raises(UserError, match=r"the model has no head for them"):
        run(f"run={tmp_path}", "text=a")
