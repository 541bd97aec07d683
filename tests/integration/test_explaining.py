"""Explanations, as users make them."""

import json

import pytest

from maskwright.core.errors import UserError
from maskwright.run.explain import run_explain
from maskwright.run.overrides import quoted
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
        (["text=good", "output=x.txt"], "x.txt"),
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
        (["text=a [MASK]", "target=nothinglikeit"], "is no single token"),
        (["text=a [MASK]", "word=a"], "Leave it out"),
        (["text=" + "the sea " * 80 + "[MASK]"], "reads rows of 62"),
    ]:
        with pytest.raises(UserError, match=said):
            explained(hub_model, *given)
    explained(hub_model, "text=" + "the sea " * 80 + "[MASK]", "long=windows", f"output={output}", "overwrite=true")
    (found,) = lines(output)[0]["explanations"]
    assert 20 < len(found["units"]) < 62
    assert found["score"] > 0


def test_a_model_without_attention_is_not_explained_by_it(run, tmp_path):
    folder = run("model=mlp", "trainer.max_steps=1").run_dir
    with pytest.raises(UserError, match=r"method=rollout needs a model with attention.*occlusion or integrated"):
        explained(folder, "text=the [MASK]", "method=rollout")
    output = tmp_path / "out.jsonl"
    explained(folder, "text=the [MASK]", f"output={output}")
    (found,) = lines(output)[0]["explanations"]
    assert [*found["values"]] == ALL[:2]
    (folder / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(UserError, match="neither checkpoints"):
        explained(folder, "text=the [MASK]")
