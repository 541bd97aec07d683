"""Explanations, as users make them."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from maskwright.core.errors import UserError
from maskwright.run import explain as explaining
from maskwright.run.explain import run_explain
from maskwright.run.overrides import quoted
from maskwright.run.saved import SavedRun
from tests.conftest import ROOT, compose_command
from tests.integration.test_finetuning import tune  # noqa: F401  a fixture

ALL = ["occlusion", "integrated_gradients", "rollout"]


def explained(run, *overrides):
    given = quoted([f"run={run}", "hardware=cpu", *overrides], str(ROOT / "conf"), "explain")
    return run_explain(compose_command("explain", *given))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_class_is_explained_by_the_word_that_gives_it_away(tune, tmp_path, capsys):  # noqa: F811
    run = tune("classification", "optimizer.lr=1e-2", "trainer.max_steps=40").run_dir
    file, output = tmp_path / "texts.txt", tmp_path / "out.jsonl"
    file.write_text("a horrible disaster\n\na wonderful delight of the sea\n")
    assert explained(run, f"file={file}", f"output={output}") == 3
    shown = capsys.readouterr().out
    bad, empty, good = lines(output)
    assert empty == {"text": "", "read": "", "explanations": []}
    assert "over 2 explanations" in shown
    (of_bad,), (of_good,) = bad["explanations"], good["explanations"]
    assert (of_bad["target"], of_good["target"]) == ("neg", "pos")
    assert of_bad["units"] == ["a", "horrible", "disaster"]
    assert of_bad["spans"] == [[0, 1], [2, 10], [11, 19]]
    for found in (of_bad, of_good):
        assert [*found["values"]] == ALL
        assert [*found["faithfulness"]] == [*ALL, "random"]
        assert found["score"] > 0.6
        for method in ("occlusion", "integrated_gradients"):
            assert max(found["values"][method][1:3]) == max(found["values"][method])
        total = sum(found["values"]["integrated_gradients"])
        assert total == pytest.approx(found["score"] - found["without"], abs=0.02)
        scores = found["faithfulness"]
        assert scores["occlusion"]["comprehensiveness"] > scores["random"]["comprehensiveness"]

    other = tmp_path / "other.jsonl"
    explained(
        run, "text=a horrible disaster", "target=pos", "method=occlusion", "mask/units=tokens", f"output={other}"
    )
    (found,) = lines(other)[0]["explanations"]
    assert found["score"] == pytest.approx(1 - of_bad["score"], abs=1e-5)
    assert [*found["values"]] == ["occlusion"]
    assert len(found["units"]) >= 3

    for picture, begins in (("out.html", b"<!doctype html>"), ("out.png", b"\x89PNG")):
        explained(run, f"file={file}", f"output={tmp_path / picture}")
        assert (tmp_path / picture).read_bytes().startswith(begins)
    page = (tmp_path / "out.html").read_text()
    assert "wonderful" in page
    assert "http" not in page.replace("http://www.w3.org", "")  # self-contained
    with pytest.raises(UserError, match="exists"):
        explained(run, f"file={file}", f"output={tmp_path / 'out.html'}")

    long = "a wonderful delight " * 40
    with pytest.raises(UserError, match="long=windows"):
        explained(run, f"text={long}")
    explained(run, f"text={long}", "long=windows", "method=occlusion", f"output={tmp_path / 'long.jsonl'}")
    assert len(lines(tmp_path / "long.jsonl")[0]["explanations"]) > 1
    for given, said in [
        (["text= "], "text is empty"),
        (["text=good", "target=po"], "target=po is no class of this run. Did you mean 'pos'. They are: neg, pos"),
        (["text=good", "word=good"], "predicts something of the whole text"),
        (["text=good", "mask/units=collocations"], "learned from a corpus"),
        (["text=good", "mask/units=none"], "hides nothing"),
        (["text=good", "output=x.txt"], "output=x.txt is no format .* .jsonl, .csv, .parquet, .html, .png, .svg"),
    ]:
        with pytest.raises(UserError, match=said.replace("?", ".")):
            explained(run, *given)


def test_tags_are_explained(tune, tmp_path):  # noqa: F811
    run = tune("tagging", "task.crf=true", "optimizer.lr=1e-2", "trainer.max_steps=40").run_dir
    output = tmp_path / "out.jsonl"
    explained(run, "text=Ada Smith went to Paris.", f"output={output}")
    found = lines(output)[0]["explanations"]
    assert [own["target"] for own in found] == ["B-PER", "I-PER", "B-LOC"]
    assert [own["of"] for own in found] == [[0, 3], [4, 9], [18, 23]]
    for own in found:
        total = sum(own["values"]["integrated_gradients"])
        assert total == pytest.approx(own["score"] - own["without"], abs=0.03)
    given = ["text=Ada Smith went to Paris.", "mask/units=entities", "method=occlusion", "overwrite=true"]
    explained(run, *given, "word=to", "target=O", f"output={output}")
    (found,) = lines(output)[0]["explanations"]
    assert (found["target"], found["of"]) == ("O", [15, 17])
    assert found["units"][0] == "Ada"
    explained(run, *given, "word=5", f"output={output}")
    assert lines(output)[0]["explanations"][0]["of"] == [18, 23]
    with pytest.raises(UserError, match="word=Pariss is none of the 6 words.*Did you mean 'Paris'"):
        explained(run, *given, "word=Pariss")
    with pytest.raises(UserError, match="target=PER is no tag"):
        explained(run, *given, "target=PER")


def test_a_value_is_explained(tune, capsys):  # noqa: F811
    run = tune("regression", "trainer.max_steps=1", "trainer.val_check_interval=1", "task.pooling=cls").run_dir
    capsys.readouterr()
    explained(run, "text=a wonderful delight", "output=-")
    (found,) = json.loads(capsys.readouterr().out)["explanations"]
    assert found["target"] == "value"
    assert 1 < found["score"] < 4
    with pytest.raises(UserError, match="predicts a value and no class"):
        explained(run, "text=good", "target=pos")


def test_fills_of_a_model_of_the_hub_are_explained(hub_model, tmp_path, capsys):
    output = tmp_path / "out.jsonl"
    explained(hub_model, "text=the [MASK] of the [MASK].", f"output={output}")
    first, second = lines(output)[0]["explanations"]
    assert (first["of"], second["of"]) == ([4, 10], [18, 24])
    assert first["units"] == ["the", "of", "the", "."]
    assert [*first["values"]] == ALL
    explained(
        hub_model,
        "text=the [MASK] of the [MASK].",
        f"target={second['target']}",
        f"output={output}",
        "overwrite=true",
    )
    assert lines(output)[0]["explanations"][1] == second
    capsys.readouterr()
    explained(hub_model, "text=the [MASK] of the sea", "method=rollout")
    shown = capsys.readouterr().out
    assert "rollout: comprehensiveness" in shown
    for given, said in [
        (["text=no mask"], r"has no \[MASK\], so there is no fill"),
        (["text=a [MASK]", "target=nothinglikeit"], "is not one token of this model but"),
        (["text=a [MASK]", "word=a"], "Leave it out"),
        (["text=" + "the sea " * 80 + "[MASK]"], "reads rows of 62"),
    ]:
        with pytest.raises(UserError, match=said):
            explained(hub_model, *given)
    explained(hub_model, "text=" + "the sea " * 80 + "[MASK]", "long=windows", f"output={output}", "overwrite=true")
    (found,) = lines(output)[0]["explanations"]
    assert 20 < len(found["units"]) < 62
    assert found["score"] > 0


@pytest.fixture(scope="module")
def classifier(hub_model, tmp_path_factory):
    """Returns what makes tiny classifiers in the hub's layout."""
    import transformers

    def make(**settings):
        folder = tmp_path_factory.mktemp("classifier")
        shutil.copytree(hub_model, folder, dirs_exist_ok=True)
        config = transformers.AutoConfig.from_pretrained(hub_model, **settings)
        torch.manual_seed(0)
        transformers.BertForSequenceClassification(config).save_pretrained(folder)
        return folder

    return make


@pytest.mark.parametrize(
    ("settings", "targets"),
    [
        ({"id2label": {0: "bad", 1: "fair", 2: "good"}}, ("bad", "fair", "good")),
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"num_labels": 1}, ("value",)),
    ],
)
def test_classifiers_of_the_hub_are_explained(classifier, tmp_path, settings, targets):
    from transformers import pipeline

    folder, text, output = classifier(**settings), "the old sailor of the sea", tmp_path / "out.jsonl"
    function = "none" if targets == ("value",) else None
    asked = pipeline("text-classification", model=str(folder), device="cpu", top_k=None, function_to_apply=function)
    expected = {own["label"] if len(targets) > 1 else "value": own["score"] for own in asked([text])[0]}
    for target in targets:
        chosen = [] if len(targets) == 1 else [f"target={target}"]
        explained(folder, f"text={text}", *chosen, f"output={output}", "overwrite=true")
        (found,) = lines(output)[0]["explanations"]
        assert (found["target"], found["units"]) == (target, text.split())
        assert found["score"] == pytest.approx(expected[target], abs=1e-5)
        assert [*found["values"]] == ALL
        total = sum(found["values"]["integrated_gradients"])
        assert total == pytest.approx(found["score"] - found["without"], abs=1e-3)
    explained(folder, f"text={text}", f"output={output}", "overwrite=true")
    assert lines(output)[0]["explanations"][0]["target"] == max(expected, key=expected.get)
    with pytest.raises(UserError, match="but the model reads rows of 62"):
        explained(folder, "text=" + "the sea " * 40)


def test_where_a_classifier_of_the_hub_reads_is_found_by_its_gradient(classifier):
    """BERT's reads the hidden state of [CLS]; were it that of all positions, each would count the same."""
    model = SavedRun.open(classifier(num_labels=2)).classifier.requires_grad_(False)
    batch = {"input_ids": torch.randint(5, 100, (2, 7))}
    with torch.no_grad():
        assert torch.equal(model.read_from(batch), torch.eye(7)[:1].expand(2, 7))
        model.model.bert.pooler = None
        classify = model.model.classifier
        model.model.forward = lambda input_ids, attention_mask: SimpleNamespace(
            logits=classify(model.model.bert(input_ids)[0].mean(1))
        )
        torch.testing.assert_close(model.read_from(batch), torch.full((2, 7), 1 / 7))


class Killed(Exception):
    pass


def test_a_stopped_file_loses_one_text_at_most(hub_model, tmp_path, monkeypatch, capsys):
    (file := tmp_path / "texts.txt").write_text("the [MASK] river\na [MASK]\nthe old [MASK]\n")
    output, whole = tmp_path / "part.jsonl", tmp_path / "whole.jsonl"
    asked = [f"file={file}", "method=occlusion"]
    explained(hub_model, *asked, f"output={whole}")
    said = capsys.readouterr().out
    row = explaining.Explainer._row

    def dies(self, text):
        if text == "the old [MASK]":
            raise Killed
        return row(self, text)

    with monkeypatch.context() as patch:
        patch.setattr(explaining.Explainer, "_row", dies)
        with pytest.raises(Killed):
            explained(hub_model, *asked, f"output={output}")
    assert len(lines(tmp_path / ".part.jsonl.part" / "rows.jsonl")) == 2
    capsys.readouterr()
    explained(hub_model, *asked, f"output={output}")
    assert output.read_text() == whole.read_text()
    again = capsys.readouterr().out
    assert again[again.index("Faithfulness over 3") :] == said[said.index("Faithfulness over 3") :]


@pytest.mark.parametrize("model", ["hmm", "ngram"])
def test_models_of_counts_are_explained_without_gradients(run, tmp_path, model):
    folder, output = run(f"model={model}", "trainer.max_steps=1").run_dir, tmp_path / "out.jsonl"
    explained(folder, "text=the [MASK] of the sea", f"output={output}")
    (found,) = lines(output)[0]["explanations"]
    assert [*found["values"]] == ["occlusion"]
    assert max(map(abs, found["values"]["occlusion"])) > 0
    with pytest.raises(UserError, match="method=integrated_gradients does not suit .* learned from counts"):
        explained(folder, "text=the [MASK]", "method=integrated_gradients")


def test_gradients_of_fills_include_the_counts(run, tmp_path):
    output = tmp_path / "out.jsonl"
    for bigrams in (1, 0):
        folder = run("trainer.max_steps=1", f"model.bigrams={bigrams}", run_dir=tmp_path / str(bigrams)).run_dir
        explained(folder, "text=they saw the [MASK] of the sea", f"output={output}", "overwrite=true")
        (found,) = lines(output)[0]["explanations"]
        assert [*found["values"]] == ALL
        values = found["values"]["integrated_gradients"]
        difference = found["score"] - found["without"]
        assert sum(values) == pytest.approx(difference, abs=0.01 * sum(map(abs, values)))


def test_late_masks_have_no_gradients(run):
    folder = run("trainer.max_steps=1", "model.late_masks=1").run_dir
    with pytest.raises(UserError, match="method=integrated_gradients does not suit .* do not read mask tokens"):
        explained(folder, "text=the [MASK]", "method=integrated_gradients")


def test_a_model_without_attention_is_not_explained_by_it(run, tmp_path, capsys):
    folder = run("model=mlp", "trainer.max_steps=1").run_dir
    with pytest.raises(UserError, match=r"method=rollout does not suit run=.*no attention.*Choose method=all"):
        explained(folder, "text=the [MASK]", "method=rollout")
    output = tmp_path / "out.jsonl"
    capsys.readouterr()
    explained(folder, "text=['the [MASK]', 'a [MASK]']", f"output={output}")
    assert capsys.readouterr().err.count("note: rollout is left out: the model has no attention") == 1
    (found,) = lines(output)[0]["explanations"]
    assert [*found["values"]] == ALL[:2]
    with pytest.raises(UserError, match="'none' has no"):  # before any text is explained
        explained(folder, "text=['the [MASK]', 'none']", f"output={tmp_path / 'none.jsonl'}")
    assert not list(tmp_path.glob(".none*"))
    (folder / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(UserError, match=r"no such checkpoint, but last\.ckpt\. Set checkpoint=last"):
        explained(folder, "text=the [MASK]")
