"""The commands and keys in the documentation work."""

import io
import json
import math
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from maskwright.cli import known
from maskwright.run.answer import run_answer
from maskwright.run.evaluate import compare, evaluate
from maskwright.run.explain import run_explain
from maskwright.run.export import export
from maskwright.run.fill import run_fill
from maskwright.run.generate import run_generate
from maskwright.run.overrides import quoted
from maskwright.run.predict import predict
from maskwright.run.score import run_score
from maskwright.run.serve import engine_of
from maskwright.run.several import expanded
from maskwright.run.translate import run_translate
from maskwright.settings.commands import ServeSettings
from tests.conftest import ROOT, compose_command
from tests.integration.test_configs import with_labels
from tests.integration.test_glue import write_glue
from tests.programs import call

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shown(pattern: str) -> list[str]:
    """Returns the commands in the code blocks of the documents, and in the help, that match a pattern, each once."""
    text = "\n".join(
        block for path in DOCUMENTS for block in re.findall(r"```bash\n(.*?)```", path.read_text(), re.DOTALL)
    )
    for path in sorted((ROOT / "conf" / "hydra" / "help").glob("*.yaml")):
        text += path.read_text()
    commands = [line.split("  #")[0].strip() for line in re.sub(r" \\\n\s*", " ", text).splitlines()]
    return list(dict.fromkeys(command for command in commands if re.match(pattern, command)))


def study_of(command: str) -> Path:
    """Returns where the config of a study is, if it has one."""
    return ROOT / "conf" / f"study_{Path(shlex.split(command)[1]).stem}.yaml"


TRAIN = shown(r"python src/train\.py( [\w@/.+]+=\S+)*$")
# replacements for what a test does not have: the hub, a folder of the user, an hour; None drops the override
INSTEAD = {
    "data.source": None,
    "data.replay.source": None,
    "data.replay.config": None,
    "data.document": None,
    "data.column": None,
    "data.tags": None,
    "data.config": "data.config=null",
    "data.label": "data.label=stars",
    "hardware.devices": "hardware.devices=1",
    "trainer.max_steps": "trainer.max_steps=2",
    "trainer.max_time": "trainer.max_time=00:00:00:02",
}


@pytest.fixture(scope="module")
def labelled(films, names, reviews, squad, translations, hub_model, tmp_path_factory) -> dict[str, list[str]]:
    """Local data in place of data sets on the hub."""
    glue = tmp_path_factory.mktemp("data") / "glue"
    for config in ("cola", "rte", "stsb"):
        write_glue(glue, config)
    questions = [
        f"data.source={squad}",
        "data.published=null",
        "data.splits.validation=0.2",
        "data.splits.test=0.2",
    ]
    questions += ["data.stride=4", "data.longest_question=12"]
    return {
        "data=imdb": [f"data.source={films}", "data.published=null"],
        "data=conll": [f"data.source={names}", "data.published=null"],
        "data=csv": [f"data.source={reviews}"],
        "data=glue": [f"data.source={glue}"],
        "data=squad": questions,
        "experiment=squad_minilm": ["data=squad", *questions, f"init_from={hub_model}"],
        "data=multi30k": (pairs := [f"data.source={translations}", "data.published=null"]),
        "experiment=multi30k": ["data=multi30k", *pairs],
        "data=mixture": [f"data.sources.imdb.source={films}", "data.sources.wikipedia.limit=25"],
    }


def with_splits(labelled: dict[str, list[str]], folder: Path) -> Path:
    """Returns a folder with a file for each split."""
    folder.mkdir()
    for split in ("train", "val", "test"):
        shutil.copy(labelled["data=csv"][0].partition("=")[2], folder / f"{split}.csv")
    return folder


@pytest.mark.parametrize("command", TRAIN)
def test_documented_training_commands_run(run, labelled, hub_model, tmp_path, command):
    overrides = expanded(shlex.split(command)[2:], "train")
    if start := next((o for o in overrides if o.startswith("init_from=")), None):
        of_run = start.startswith("init_from=logs/")
        folder = run("trainer.max_steps=1", run_dir=tmp_path / "start").run_dir if of_run else hub_model
        overrides[overrides.index(start)] = f"init_from={folder}"
    if "trainer.max_steps=-1" in overrides:
        overrides = [o for o in overrides if o != "trainer.max_steps=-1"]
        overrides.append("++trainer.max_steps=-1")
    kept = ["data.config"] if "data=glue" in overrides else []
    replaced = [o if o.split("=")[0] in kept else INSTEAD.get(o.split("=")[0], o) for o in overrides]
    run_dir = tmp_path / "logs" / "mlm" / "2026-01-01" / "11-00-00"
    if "ckpt_path=last" in overrides:
        run("trainer.max_steps=1", run_dir=run_dir.with_name("10-00-00"))
    replaced += next((own for choice, own in labelled.items() if choice in overrides), [])
    if "data=csv" in overrides and "data.splits.test=test" in overrides:
        replaced[-1] = f"data.source={with_splits(labelled, tmp_path / 'reviews')}"
    if "task=multilabel" in overrides:
        replaced += [f"data.source={with_labels(tmp_path)}", "data.label=[short,odd]"]
    result = run("trainer.max_steps=2", *[o for o in replaced if o is not None], run_dir=run_dir)
    assert result.metrics["test/loss"] > 0


EVALUATE = shown(r"python src/evaluate\.py run=\S+( [\w.]+=\S+)*$")
COMPARE = [command for command in EVALUATE if re.search(r" masks=| data=\w+,", command)]


@pytest.mark.parametrize("command", [command for command in EVALUATE if command not in COMPARE])
def test_documented_evaluation_commands_run(run, labelled, tmp_path, command):
    data = next((choice for choice in labelled if choice in command), "data=imdb")
    if "run=logs/translation" in command:
        data = "data=multi30k"
    task = {"data=conll": "tagging", "data=multi30k": "translation"}.get(data, "classification")
    trained = run(f"task={task}", data, *labelled[data], "trainer.max_steps=2", run_dir=tmp_path / "run")
    overrides = [o for o in command.split()[2:] if not o.startswith(("run=", "data.source=", "output="))]
    given = labelled[data] if data in command else []
    metrics = evaluate(compose_command("evaluate", f"run={trained.run_dir}", "hardware=cpu", *overrides, *given))
    split = "validation" if "split=validation" in command else "test"
    for name, value in metrics.items():
        assert value == pytest.approx(trained.metrics[name], rel=1e-5)
    assert (trained.run_dir / "evaluations" / split / "predictions.jsonl").is_file()


def test_documented_questions_are_answered(run, labelled, squad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = run("task=question_answering", "data=squad", *labelled["data=squad"], "trainer.max_steps=1")
    row = {"question": "Where was Ada born?", "context": "Ada was born in London."}
    Path("questions.jsonl").write_text(json.dumps(row) + "\n")
    commands = shown(r"python src/answer\.py ")
    assert len(commands) >= 3
    for command in commands:
        given = [o for o in shlex.split(command)[2:] if not o.startswith("run=")]
        own = [f"run={trained.run_dir}", "hardware=cpu", "overwrite=true"]
        answered = compose_command("answer", *own, *quoted(given, str(ROOT / "conf"), "answer"))
        assert run_answer(answered) == 1
    assert "answer" in json.loads(Path("answers.jsonl").read_text())


def test_documented_comparisons_run(run, corpus, labelled, tmp_path):
    folder = tmp_path / "runs"
    brief = ["trainer.max_steps=1", "trainer.val_check_interval=1", "data.evaluation_limit=2"]
    for name in ("one", "two"):
        run(*brief, run_dir=folder / name)
    local = [f"data.imdb.{own.removeprefix('data.')}" for own in labelled["data=imdb"]]
    local += [f"data.wikipedia.source={corpus}", "data.wikipedia.document=row"]
    assert len(COMPARE) >= 5
    for command in COMPARE:
        asked, *given = command.split()[2:]
        runs = f"{folder}/one,{folder}/two" if "," in asked else str(folder / "one")
        given += local if " data=" in command else []
        overrides = expanded(
            quoted(
                [f"run={runs}", "hardware=cpu", "preparation.workers=1", *given], str(ROOT / "conf"), "evaluate"
            ),
            "evaluate",
        )
        rows = compare(compose_command("evaluate", *overrides), overrides)
        assert len(rows) == (2 if "," in asked else 1) * (2 if " data=" in command else 1)
        assert all(math.isfinite(value) for row in rows for value in row.metrics.values())


@pytest.fixture(scope="module")
def masked_run(tmp_path_factory):
    """A function that returns the directory of a run of masked language modelling, trained once."""
    folder = tmp_path_factory.mktemp("masked") / "run"

    def trained(run):
        return folder if folder.exists() else run("trainer.max_steps=1", run_dir=folder).run_dir

    return trained


@pytest.mark.parametrize("command", shown(r"(cat \S+ \| )?python src/score\.py run="))
def test_documented_scoring_commands_run(run, masked_run, tmp_path, monkeypatch, capsys, command):
    run_dir = masked_run(run)
    monkeypatch.chdir(tmp_path)
    text = "The cat sat on the mat."
    Path("texts.txt").write_text(f"{text}\n")
    for folder in ("Zorro/sentences/babyberta", "blimp/data"):
        Path(folder).mkdir(parents=True)
        Path(folder, "agreement-simple.txt").write_text("the cats sits\nthe cat sits\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{text}\n"))
    typed = ["text=-" if part == "-" else part for part in shlex.split(command.rpartition("| ")[2])[2:]]
    overrides = quoted([o for o in typed if not o.startswith("run=")], str(ROOT / "conf"), "score")
    run_score(compose_command("score", f"run={run_dir}", "hardware=cpu", *overrides))
    output = next((Path(o.partition("=")[2]) for o in typed if o.startswith("output=") and o != "output=-"), None)
    printed = capsys.readouterr().out if output is None else output.read_text()
    assert ("agreement-simple" if "pairs=" in command else text) in printed.replace("  simple", "agreement-simple")


@pytest.fixture(scope="module")
def predicting_run(tmp_path_factory, labelled):
    """A function that returns the directory of a run of a task, trained once."""
    folder, found = tmp_path_factory.mktemp("predicting"), {}

    def trained(run, task):
        if task not in found:
            data = "data=conll" if task == "tagging" else "data=csv"
            overrides = [f"task={task}", data, *labelled[data], "trainer.max_steps=1"]
            found[task] = run(*overrides, run_dir=folder / task).run_dir
        return found[task]

    return trained


@pytest.mark.parametrize("command", shown(r"(cat \S+ \| )?python src/predict\.py run="))
def test_documented_prediction_commands_run(run, predicting_run, tmp_path, monkeypatch, capsys, command):
    run_dir = predicting_run(run, "tagging" if "run=logs/tagging" in command else "classification")
    monkeypatch.chdir(tmp_path)
    given = next((part for part in shlex.split(command) if part.startswith("text=")), None)
    texts = [given.removeprefix("text=")] if given else ["A wonderful film.", "Ada Smith went to Rome."]
    for name in ("letters.txt", "texts.txt"):
        Path(name).write_text("\n".join(texts) + "\n")
    Path("new.csv").write_text("text\n" + "\n".join(texts) + "\n")
    own = [f"run={run_dir}", "hardware=cpu"]
    if "|" in command or ">" in command:
        piped, typed = re.fullmatch(r"(?:cat (\S+) \| )?(.*?)(?: > \S+)?", command).groups()
        given = [part for part in shlex.split(typed)[2:] if not part.startswith("run=")]
        stdin = Path(piped).read_text() if piped else ""
        done = call(ROOT / "src" / "predict.py", *own, *given, cwd=tmp_path, stdin=stdin)
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    else:
        given = [part for part in shlex.split(command)[2:] if not part.startswith("run=")]
        overrides = quoted(given, str(ROOT / "conf"), "predict")
        capsys.readouterr()
        predict(compose_command("predict", *own, *overrides), overrides)
        printed = capsys.readouterr().out
    if "output=" in command:
        rows = pq.read_table("new.parquet").to_pylist()
    else:
        rows = [json.loads(line) for line in printed.splitlines()]
    assert [row["text"] for row in rows] == texts
    assert all(row["predicted"] for row in rows)


@pytest.mark.parametrize("command", shown(r"(cat \S+ \| )?python src/fill\.py run="))
def test_documented_fills_are_made(hub_model, tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("the [MASK] river\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO(Path("texts.txt").read_text()))
    typed = re.fullmatch(r"(?:cat \S+ \| )?(.*?)(?: > \S+)?", command)[1]
    given = [part if part != "-" else "text=-" for part in shlex.split(typed)[2:] if not part.startswith("run=")]
    given = [
        "candidates=the" if part.startswith("candidates=") else part for part in given
    ]  # of a small vocabulary
    run_fill(
        compose_command("fill", f"run={hub_model}", "hardware=cpu", *quoted(given, str(ROOT / "conf"), "fill"))
    )
    printed = capsys.readouterr().out
    rows = Path("fills.jsonl").read_text() if "output=fills.jsonl" in command else printed
    assert "probability" in rows


@pytest.fixture(scope="module")
def translating_run(tmp_path_factory, labelled):
    """A function that returns the directory of a run that translates, trained once."""
    folder = tmp_path_factory.mktemp("translating") / "run"

    def trained(run):
        own = ["task=translation", "data=multi30k", *labelled["data=multi30k"], "data.block_size=128"]
        own += ["trainer.max_steps=1", "trainer.val_check_interval=1"]
        return folder if folder.exists() else run(*own, run_dir=folder).run_dir

    return trained


@pytest.mark.parametrize("command", shown(r"(cat \S+ \| )?python src/translate\.py run="))
def test_documented_translations_are_made(run, translating_run, tmp_path, monkeypatch, capsys, command):
    run_dir = translating_run(run)
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("A man sleeps\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("A man sleeps\n"))
    typed = re.fullmatch(r"(?:cat \S+ \| )?(.*?)(?: > \S+)?", command)[1]
    given = [part if part != "-" else "text=-" for part in shlex.split(typed)[2:] if not part.startswith("run=")]
    overrides = [f"run={run_dir}", "hardware=cpu", *quoted(given, str(ROOT / "conf"), "translate")]
    capsys.readouterr()
    assert run_translate(compose_command("translate", *overrides)) == 1
    printed = capsys.readouterr().out
    rows = Path("translations.jsonl").read_text() if "output=translations.jsonl" in command else printed
    assert "A man sleeps" in rows


@pytest.mark.parametrize("command", shown(r"(cat \S+ \| )?python src/generate\.py run="))
def test_documented_texts_are_written(hub_model, tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO("the [MASK] river\n"))
    typed = re.fullmatch(r"(?:cat \S+ \| )?(.*?)(?: > \S+)?", command)[1]
    given = [part if part != "-" else "text=-" for part in shlex.split(typed)[2:] if not part.startswith("run=")]
    given = [*quoted(given, str(ROOT / "conf"), "generate"), "burn_in=1", "thin=1"]
    count = run_generate(compose_command("generate", f"run={hub_model}", "hardware=cpu", *given))
    assert count in (8, 16)
    printed = capsys.readouterr().out
    rows = Path("texts.jsonl").read_text() if "output=texts.jsonl" in command else printed
    assert "self_bleu" in rows or "self-bleu" in rows
    assert Path("trace.png").is_file() == ("plot=trace.png" in command)


@pytest.mark.parametrize("command", shown(r"python src/explain\.py run="))
def test_documented_explanations_run(run, predicting_run, hub_model, tmp_path, monkeypatch, command):
    given = [part for part in shlex.split(command)[2:] if not part.startswith("run=")]
    task = next((name for name in ("tagging", "classification") if f"logs/{name}" in command), None)
    folder = predicting_run(run, task) if task else hub_model
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("A wonderful film.\nA bad one.\n")
    overrides = quoted(given, str(ROOT / "conf"), "explain")
    assert run_explain(compose_command("explain", f"run={folder}", "hardware=cpu", *overrides)) in (1, 2)
    assert Path("explained.html").is_file() == ("output=" in command)


@pytest.mark.parametrize("command", shown(r"python src/export\.py run="))
def test_documented_exports_are_written(run, predicting_run, hub_model, tmp_path, monkeypatch, command):
    given = [part for part in shlex.split(command)[2:] if not part.startswith(("run=", "push="))]
    task = next((name for name in ("tagging", "classification") if f"logs/{name}" in command), None)
    folder = predicting_run(run, task) if task else hub_model
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("A wonderful film.\nA bad one.\n")
    if folder is hub_model:
        given = [part for part in given if not part.startswith(("file=", "output="))]
        given += ["file=texts.txt", "output=own"]
    written = export(compose_command("export", f"run={folder}", *given, "overwrite=true"))
    assert (written / "README.md").is_file()


@pytest.mark.parametrize("command", shown(r"(MASKWRIGHT_API_KEY=\w+ )?python src/serve\.py run="))
def test_documented_servers_are_made(run, predicting_run, hub_model, command):
    given = [part for part in command.split("serve.py ")[1].split() if not part.startswith("run=")]
    folder = predicting_run(run, "classification") if "classif" in command else hub_model
    if "onnx" in command:
        folder = export(compose_command("export", f"run={folder}", "format=onnx", "overwrite=true"))
    config = compose_command("serve", f"run={folder}", "hardware=cpu", *[one for one in given if "onnx" not in one])
    asked = ServeSettings.parse(OmegaConf.to_container(config, resolve=True))
    assert engine_of(asked).name == ("onnx" if "onnx" in command else "torch")


def test_the_documents_contain_training_commands():
    assert len(TRAIN) >= 10


@pytest.mark.parametrize("command", shown(r"make\b"))
def test_documented_make_targets_exist(command):
    target = command.split()[1]
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_documented_imports_work():
    blocks = [
        block for path in DOCUMENTS for block in re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)
    ]
    lines = {line for block in blocks for line in re.findall(r"^from maskwright.*", block, re.MULTILINE)}
    assert len(lines) > 5
    exec("\n".join(sorted(lines)), {})  # which fails for what does not exist


def test_documented_keys_exist():
    keys = []
    for choices in (
        [],
        ["logger=all"],
        ["model=pretrained"],
        ["model=hmm"],
        ["callbacks=early_stopping"],
        ["data=mixture"],
    ):
        keys += known(str(ROOT / "conf"), "train", choices)[1]
    for task in sorted(path.stem for path in (ROOT / "conf" / "task").glob("[!_]*.yaml")):
        keys += known(str(ROOT / "conf"), "train", [f"task={task}"])[1]
    keys += known(str(ROOT / "conf"), "mask", [])[1]
    for path in (ROOT / "conf" / "mask").glob("*/*.yaml"):  # keys of options that are not the default
        keys += [f"mask.{path.parent.name}.{key}" for key in re.findall(r"^(\w+):", path.read_text(), re.MULTILINE)]
    groups = {key.split(".")[0] for key in keys if "." in key}
    for path in DOCUMENTS:
        for key in re.findall(r"`((?:\w+\.)+\w+)(?:=[^`]*)?`", path.read_text()):
            if key.split(".")[0] in groups:
                known_elsewhere = {
                    "tokenizer.name",
                    "schedule.cooldown",
                    "trainer.key",
                    *("tokenizer.json", "model.json", "model.onnx", "model.tflite"),  # files
                    *("data.imdb.source", "data.wikipedia.limit", "data.imdb.limit"),  # of one of several data sets
                }
                assert key in keys or key in known_elsewhere, (path, key)


def test_make_without_a_target_lists_the_targets():
    listed = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for target in ("train", "test", "lint", "format", "clean"):
        assert re.search(rf"make {target}\s+\w", listed)


STUDIES = shown(r"python scripts/studies/\w+\.py(?!.*submitit)")


@pytest.mark.parametrize("command", [one for one in STUDIES if study_of(one).is_file()])
def test_documented_studies_compose(command):
    """One part of each: the first value of what is swept over."""
    _, _, *overrides = shlex.split(command)
    name = study_of(command).stem
    prose = ("pretraining", "finetuning", "finetuning.", "arms.")
    first = [re.sub(r"^(arm|seed)=([^,]+).*", r"\1=\2", override) for override in overrides]
    study = compose_command(name, *quoted(first, str(ROOT / "conf"), name, prose))
    assert study.folder.startswith("logs/studies/")


@pytest.mark.parametrize("command", [one for one in STUDIES if not study_of(one).is_file()])
def test_documented_studies_of_one_script_have_these_options(command):
    """`--overrides` are of training runs; the other options are those that `--help` lists."""
    _, script, *words = shlex.split(command)
    path = ROOT / script
    listed = call(path, "--help", cwd=ROOT, PYTHONPATH=str(path.parent)).stdout
    for option in (word for word in words if word.startswith("--")):
        assert f"{option} " in listed
    if "--overrides" in words:
        compose_command("train", *words[words.index("--overrides") + 1 :])
