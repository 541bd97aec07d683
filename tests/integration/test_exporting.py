"""`src/export.py`: what was trained here, opened by programs that do not have this package."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from maskwright.core.errors import UserError
from maskwright.run import export as checking
from maskwright.run.export import export, exportable
from maskwright.run.predict import predict
from maskwright.run.saved import SavedRun
from tests.conftest import compose_command
from tests.integration.test_finetuning import tune  # noqa: F401  a fixture

PLAIN = ("model.bigrams=0", "model.convolution=0", "model.query_key_norm=false", "model.value_residual=false")
SHAPE = ("model.layers=2", "model.hidden_size=32")
FAST = ("optimizer.lr=1e-2", "trainer.max_steps=3")

RUNS = {  # by name: task, settings, overrides of the export
    "plain": ("mlm", PLAIN, ()),
    "transformer": ("mlm", (), ()),
    "lstm": ("mlm", ("model=lstm",), ()),
    "cnn": ("mlm", ("model=cnn",), ()),
    "mlp": ("mlm", ("model=mlp",), ()),
    "hub": ("mlm", ("init_from=hub",), ()),
    "classes_attention": ("classification", ("task.pooling=attention", *PLAIN), ()),
    "classes_max": ("classification", ("task.pooling=max", "model=lstm", *SHAPE), ()),
    "classes_hub": ("classification", ("init_from=hub", "task.pooling=cls"), ()),
    "values": ("regression", (), ()),
    "tags": ("tagging", ("model=cnn", *SHAPE), ()),
    "tags_crf_case": ("tagging", ("task.crf=true", "task.case=true"), ()),
    "tags_hub": ("tagging", ("init_from=hub",), ()),
    "labels_of_both": ("multitask", (), ()),
    "tokens_of_both": ("multitask", (), ("head=tokens",)),
}
NATIVE = {  # the class of transformers, of those that need no code of their own
    "plain": "ModernBertForMaskedLM",
    "hub": "BertForMaskedLM",
    "tags_hub": "BertForTokenClassification",
}

TEXTS = ["Ada Smith went to London.", "the old fisher, who is 3.5 feet tall, isn't in Paris"]

PROGRAM = """
import json, sys
sys.modules["maskwright"] = None
import numpy as np, torch, transformers
from transformers import pipeline

transformers.logging.disable_progress_bar()
found = {}
for name, (folder, auto, task, given) in json.load(open(sys.argv[1])).items():
    trusted = {"trust_remote_code": True}
    model = getattr(transformers, auto).from_pretrained(folder, **trusted).eval()
    inputs = {key: torch.tensor(value) for key, value in given["inputs"].items()}
    with torch.no_grad():
        logits = model(**inputs).logits
    strategy = {"aggregation_strategy": "first"} if task == "token-classification" else {}
    if given["values"]:
        strategy = {"function_to_apply": "none"}
    pipe = pipeline(task, model=folder, **trusted, **strategy)
    said = [pipe(text) for text in given["texts"]]
    together = pipe(given["texts"], batch_size=2)
    found[name] = {"logits": logits.tolist(), "said": said, "together": together, "type": type(model).__name__}
json.dump(found, open(sys.argv[2], "w"), default=float)
"""


def exported(place, *overrides):
    return export(compose_command("export", f"run={place}", *overrides))


@pytest.fixture
def made(run, tune, hub_model):  # noqa: F811
    """A function that trains a run of `RUNS` for a few steps."""

    def make(name):
        task, settings, _ = RUNS[name]
        settings = [f"init_from={hub_model}" if one == "init_from=hub" else one for one in settings]
        from_hub = any(one.startswith("init_from") for one in settings)
        if task == "mlm":
            if from_hub:
                settings = ["model=pretrained", f"model.name={hub_model}"]
                settings += ["tokenizer=pretrained", f"tokenizer.name={hub_model}"]
            return run(*settings, *FAST)
        own = not from_hub and "model=lstm" not in settings and "model=cnn" not in settings
        return tune(task, *settings, *FAST, model=own)

    return make


def test_others_open_each_model_with_each_head(made, tmp_path):
    asked, expected, results = {}, {}, {}
    for name, (_, _, overrides) in RUNS.items():
        result = results[name] = made(name)
        folder = exported(result.run_dir, *overrides)
        saved = SavedRun.open(result.run_dir, "run", prefer=("best",))
        own = exportable(saved, "tokens" if overrides else "labels")
        ids = torch.from_numpy(np.random.default_rng(0).integers(5, len(saved.tokenizer), (2, 11)))
        seen = torch.arange(11) < torch.tensor([[11], [6]])
        inputs = {"input_ids": ids, "attention_mask": seen.long()}
        if "positions" in own.inputs:
            inputs["positions"] = torch.arange(11).expand(2, 11)
        if "cases" in own.inputs:
            inputs["cases"] = torch.arange(22).view(2, 11) % 5
        with torch.no_grad():
            expected[name] = own.module(*(inputs[key] for key in own.inputs))
        if "cases" not in own.inputs:
            inputs.pop("positions", None)
        task = (folder / "README.md").read_text().split("pipeline_tag: ")[1].split("\n")[0]
        auto = {
            "fill-mask": "AutoModelForMaskedLM",
            "text-classification": "AutoModelForSequenceClassification",
            "token-classification": "AutoModelForTokenClassification",
        }[task]
        masked = f"the old {saved.tokenizer.special['mask']} went home."
        given = {
            "inputs": {key: value.tolist() for key, value in inputs.items()},
            "texts": [masked] if own.kind == "tokens" else TEXTS,
            "values": own.kind == "value",
        }
        asked[name] = (str(folder), auto, task, given)
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [sys.executable, "program.py", "asked.json", "found.json"],
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=600,
    )
    found = json.loads((tmp_path / "found.json").read_text())
    seen = np.arange(11) < np.array([[11], [6]])
    for name, answer in found.items():
        kept = seen if expected[name].ndim == 3 else slice(None)
        difference = np.abs(np.array(answer["logits"])[kept] - expected[name].numpy()[kept]).max()
        assert difference < 1e-5, (name, difference)
        assert answer["type"].startswith(NATIVE.get(name, "Maskwright")), name
        said, together = answer["said"], answer["together"]
        if expected[name].shape[-1] < 10 and name not in NATIVE:  # labels; the pipeline for words is ours
            rows = predictions(results[name].run_dir, tmp_path / f"{name}.jsonl")
            for row, own, other in zip(rows, said, together, strict=True):
                check_said(row, own)
                check_said(row, other)


def predictions(run_dir, output, texts=TEXTS):
    """What `src/predict.py` says of texts."""
    settings = compose_command("predict", f"run={run_dir}", "hardware=cpu", f"output={output}")
    settings.text = texts
    predict(settings, ())
    return [json.loads(line) for line in output.read_text().splitlines()]


def check_said(row, said):
    """Compares what a pipeline says of a text with what `src/predict.py` does."""
    if isinstance(said, list) and "words" not in row:
        [said] = said
    if "words" in row:
        found = [(one["entity_group"], one["start"], one["end"]) for one in said]
        assert found == [(one["kind"], one["start"], one["end"]) for one in row["entities"]]
    elif "probability" in row:
        assert said["label"] == row["predicted"]
        assert said["score"] == pytest.approx(row["probability"], abs=1e-5)
    else:
        assert said["score"] == pytest.approx(row["predicted"], abs=1e-4)


def scores(place):
    """Logits of a model, opened by name, for the same ids."""
    saved = SavedRun.open(place, "run", prefer=("best",))
    ids = torch.arange(24).view(2, 12) % len(saved.tokenizer)
    with torch.no_grad():
        return saved.head(saved.token_encoder(ids, ids >= 0, ids[:, :3] % 12))


@pytest.mark.parametrize("name", ["plain", "transformer", "cnn"])
def test_exports_are_opened_again_and_trained_on(made, run, name, capsys):
    first = made(name)
    folder = exported(first.run_dir)
    torch.testing.assert_close(scores(folder), scores(first.run_dir), rtol=0, atol=1e-6)
    again = run(f"init_from={folder}", "optimizer=adamw", "optimizer.lr=1e-9", "trainer.max_steps=1")
    assert "new:" not in capsys.readouterr().out
    torch.testing.assert_close(scores(again.run_dir), scores(first.run_dir), rtol=0, atol=1e-4)
    assert again.metrics["test/loss"] == pytest.approx(first.metrics["test/loss"], abs=0.05)


@pytest.mark.parametrize("model", ["hmm", "ngram"])
def test_models_of_counts_are_refused(run, model):
    run_dir = run(f"model={model}", "optimizer=em", "trainer.max_steps=1").run_dir
    with pytest.raises(UserError, match="cannot express a model of the class"):
        exported(run_dir)
    assert not (run_dir / "export" / "hf").exists()


def test_a_folder_is_kept_unless_it_may_be_replaced(hub_model, tmp_path, monkeypatch):
    texts = tmp_path / "texts.txt"
    texts.write_text("the river at night\nevery student\n")
    given = (f"file={texts}", f"output={tmp_path / 'bert'}")
    folder = exported(hub_model, *given)
    (folder / "mine.txt").touch()
    with pytest.raises(UserError, match="overwrite=true"):
        exported(hub_model, *given)
    monkeypatch.setattr(checking, "EXACT", -1)
    with pytest.raises(UserError, match="computes something else"):
        exported(hub_model, *given, "overwrite=true")
    assert (folder / "mine.txt").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    monkeypatch.undo()
    exported(hub_model, *given, "overwrite=true")
    assert not (folder / "mine.txt").exists()
    with pytest.raises(UserError, match="Name the folder to write"):
        exported(hub_model, f"file={texts}")


def test_a_folder_is_pushed(hub_model, tmp_path, monkeypatch):
    texts, called = tmp_path / "texts.txt", []
    texts.write_text("the river at night\n")
    given = (f"file={texts}", f"output={tmp_path / 'bert'}", "push=me/bert")
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda _, name, exist_ok: called.append(name))
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", lambda _, **given: called.append(given))
    folder = exported(hub_model, *given, "license=mit")
    assert "license: mit" in (folder / "README.md").read_text().split("---")[1]
    assert called == ["me/bert", {"repo_id": "me/bert", "folder_path": folder}]

    def refused(*_, **__):
        raise ValueError("401 Client Error")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", refused)
    with pytest.raises(UserError, match="401 Client Error.*is complete"):
        exported(hub_model, *given, "overwrite=true")
    assert (folder / "config.json").exists()
