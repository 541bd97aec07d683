"""Runs on several devices: two processes on the CPU share the batches of one."""

import csv
import json
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from lightning import Callback

from maskwright.core.errors import UserError
from maskwright.run import follow, ranks
from maskwright.run.evaluate import compare, evaluate
from maskwright.run.ranks import find_place
from maskwright.run.several import expanded
from maskwright.settings.hardware import Hardware
from tests.conftest import ROOT, TINY, compose_command
from tests.programs import Fork, wait_for

LOSSES = (
    "train/tokens",
    "train/gradient_norm",
    "train/loss",
    "train/accuracy",
    "train/mlm_loss",
    "train/masked",
    "validation/loss",
    "validation/accuracy",
)
TWO = "hardware.devices=2"


@pytest.fixture(autouse=True)
def _forked(monkeypatch, tmp_path):
    """The other ranks are forks, which need no import."""

    def start(place, number):
        own = {"RANK": number, "WORLD_SIZE": place.rank.world_size, "MASTER_ADDR": place.address}
        environment = {name: str(value) for name, value in (own | {"MASTER_PORT": place.port}).items()}
        return Fork(
            lambda: ranks.follow(ranks.place_of_follower(environment), follow.run), tmp_path / f"rank{number}"
        )

    monkeypatch.setattr(ranks, "_start", start)


def curves(result) -> dict[str, list[float]]:
    with open(result.run_dir / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    found = {name: [float(row[name]) for row in rows if row.get(name)] for name in LOSSES}
    return {name: values for name, values in found.items() if values}


def assert_alike(one, two, rel=1e-4, before=0):
    """Compares the metrics of two runs, of which the second may lack those of its first steps."""
    first, second = curves(one), curves(two)
    first = {name: values[-len(second[name]) :] if before else values for name, values in first.items()}
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert second[name] == pytest.approx(values, rel=rel, abs=1e-5), name
    shared = {name: value for name, value in one.metrics.items() if name.startswith(("test/", "validation/"))}
    assert shared
    for name, value in shared.items():
        assert two.metrics[name] == pytest.approx(value, rel=rel, abs=1e-5), name


# runs of positions, what the devices learn together, and what a corpus says
@pytest.mark.parametrize("mask", ["span", "adaptive", "pmi"])
def test_two_devices_train_as_one_does(run, mask):
    overrides = [f"mask={mask}", "trainer.max_steps=20", "trainer.val_check_interval=10"]
    one = run(*overrides)
    two = run(*overrides, TWO)
    assert_alike(one, two)
    for name, value in one.task.masker.state_dict().items():
        assert torch.equal(value, two.task.masker.state_dict()[name]), name


@pytest.mark.parametrize("own", ["task=rtd", "task=span_boundary", "model.late_masks=1"])
def test_two_devices_learn_other_objectives_as_one_does(run, own):
    overrides = [own, "mask=span", "trainer.max_steps=6", "trainer.val_check_interval=3"]
    assert_alike(run(*overrides), run(*overrides, TWO))


@pytest.mark.parametrize("model", ["hmm", "ngram"])
def test_two_devices_count_as_one_does(run, model):
    own = ["model.states=8"] if model == "hmm" else []
    overrides = [f"model={model}", *own, "trainer.max_steps=4", "trainer.val_check_interval=2"]
    one, two = run(*overrides), run(*overrides, TWO)
    assert_alike(one, two)
    for name, value in one.task.head.state_dict().items():
        torch.testing.assert_close(two.task.head.state_dict()[name], value, rtol=1e-3, atol=1e-3)


def test_two_devices_mix_sources_as_one_does(run, films, corpus):
    given = ["data=mixture", f"data.sources.imdb.source={films}", f"data.sources.wikipedia.source={corpus}"]
    given += ["data.sources.wikipedia.splits={train: train, validation: 0.2, test: 0.2}"]
    given += ["data.sources.imdb.weight=1", "data.sources.wikipedia.weight=2", f"data.replay.source={corpus}"]
    one, two = run(*given), run(*given, TWO)
    assert_alike(one, two)
    for name in ("loss", "imdb/loss", "wikipedia/loss", "replay/loss"):
        assert two.metrics[f"test/{name}"] == pytest.approx(one.metrics[f"test/{name}"], rel=1e-4)


@pytest.mark.parametrize("more", [["task.finetuning.new_tokens_first=0.5"], ["model.lora.rank=2"]])
def test_two_devices_adapt_as_one_does(run, hub_model, more):
    given = ["experiment=adapt", f"init_from={hub_model}", "tokenizer.extend=5", "trainer.max_epochs=null", *more]
    assert_alike(run(*given, "model.dropout=0"), run(*given, "model.dropout=0", TWO))


def test_micro_batches_of_two_devices(run):
    one = run("mask=span")
    assert_alike(one, run("mask=span", TWO, "hardware.accumulate_grad_batches=2"))


LABELLED = {
    "classification": ("task=classification", "data=csv"),
    "weighted": (
        "task=classification",
        "data=csv",
        "task.class_weights=balanced",
        "hardware.accumulate_grad_batches=2",
    ),
    "frozen": (
        "task=classification",
        "data=csv",
        "task.finetuning.freeze=1",
        "task.finetuning.gradual_unfreezing=0.5",
    ),
    "multitask": ("task=multitask", "data=csv", "mask=token"),
    "tagging": ("task=tagging", "data=conll", "data.published=null"),
    "questions": (
        *("task=question_answering", "data=squad", "data.published=null", "mask=wholeword", "data.block_size=48"),
        *("data.stride=4", "data.longest_question=12", "data.splits.validation=0.2", "data.splits.test=0.2"),
    ),
}


@pytest.mark.parametrize("name", LABELLED)
def test_two_devices_learn_labels_as_one_does(run, reviews, names, squad, name):
    source = {"tagging": names, "questions": squad}.get(name, reviews)
    # few rows a step, and a number of rows in evaluations that two devices cannot share evenly
    overrides = [*LABELLED[name], f"data.source={source}", "data.tokens_per_batch=200", "task.dropout=0"]
    overrides += ["trainer.max_steps=20", "trainer.val_check_interval=10"]
    one, two = run(*overrides), run(*overrides, TWO)
    assert_alike(one, two, rel=1e-3)
    predicted = (two.run_dir / "predictions.jsonl").read_text().splitlines()
    rows = two.data.questions["test"] if name == "questions" else two.data.tokens["test"].ends
    assert len(predicted) == len(rows)


def test_two_devices_learn_to_translate_as_one_does(run, translations):
    overrides = ["task=translation", "data=multi30k", f"data.source={translations}", "data.published=null"]
    overrides += ["data.block_size=64", "data.tokens_per_batch=600", "mask=token"]
    assert_alike(*(run(*overrides, "task.validation_texts=5", *devices) for devices in ([], [TWO])))
    few = [*overrides, "task.validation_texts=1", "trainer.max_steps=3"]  # one of the ranks has none
    assert "validation/bleu" in run(*few, TWO).metrics


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_resuming_on_another_number_of_devices(run, tmp_path, before, after):
    devices = [f"hardware.devices={before}", f"hardware.devices={after}"]
    begun = run("mask=adaptive", "trainer.max_steps=3", "schedule=constant", devices[0])
    resumed = run(
        "mask=adaptive",
        "schedule=constant",
        f"ckpt_path={begun.run_dir}",
        f"run_dir={tmp_path / 'resumed'}",
        devices[1],
    )
    assert resumed.trainer.global_step == 6
    assert_alike(run("mask=adaptive", "schedule=constant", "trainer.max_steps=6"), resumed, before=3)


def test_evaluating_on_two_devices(run):
    """A device gets other rows than the other, and not the same number."""
    trained = run("trainer.max_steps=2")
    cfg = compose_command("evaluate", f"run={trained.run_dir}", "hardware=cpu", TWO)
    assert evaluate(cfg)["test/loss"] == pytest.approx(trained.metrics["test/loss"], rel=1e-6)
    assert (trained.run_dir / "evaluations" / "test" / "metrics.json").is_file()


def test_the_command_starts_the_other_processes_and_passes_a_signal_on(corpus, cache, tmp_path):
    """Without forks, as on a user's machine."""
    run_dir = tmp_path / "run"
    arguments = [*TINY, "data=text", f"data.source={corpus}", f"data.cache_dir={cache}", f"hydra.run.dir={run_dir}"]
    arguments += [TWO, "trainer.max_steps=1000000", "trainer.val_check_interval=1000000"]
    command = [sys.executable, str(ROOT / "src" / "train.py"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(run_dir / "metrics.csv", process)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "Stopped by SIGTERM after step" in errors
    assert "Traceback" not in errors
    assert (run_dir / "checkpoints" / "last.ckpt").is_file()


class Failing(Callback):
    """Fails in the second process alone."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_rank == 1 and trainer.global_step == 2:
            raise ValueError("what went wrong there")


def test_the_summary_holds_the_error_of_the_process_that_failed(run, tmp_path):
    failing = "+callbacks.failing={_target_: tests.integration.test_ranks.Failing}"
    with pytest.raises(UserError, match="rank 1: ValueError: what went wrong there"):
        run(TWO, failing, run_dir=tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert "what went wrong there" in summary["error"]


def hardware(**settings) -> Hardware:
    own = {"accelerator": "cpu", "precision": "32-true", "workers": 0, "devices": 1}
    return Hardware(**own | {"accumulate_grad_batches": 1, "compile": False} | settings)


def test_what_others_left_in_the_environment_is_of_no_run_on_one_device():
    place = find_place(hardware(), {"RANK": "3", "WORLD_SIZE": "4", "SLURM_PROCID": "1", "SLURM_NTASKS": "4"})
    assert place.rank == (0, 1)


def test_torchrun_and_srun_say_where_a_process_stands():
    torchrun = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "7"}
    place = find_place(hardware(devices=4, nodes=2), torchrun)
    assert (place.rank, place.local, place.node, place.address, place.port) == ((5, 8), 1, 1, "a", 7)
    srun = {"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0", "SLURM_NODELIST": "gpu[07-09,12]"}
    place = find_place(hardware(devices=2, nodes=2), srun | {"SLURM_JOB_ID": "31234"})
    assert (place.rank, place.node, place.address, place.port) == ((2, 4), 1, "gpu07", 16234)
    with pytest.raises(UserError, match=r"torchrun has started 8 processes.*hardware\.devices=2.*ask for 2"):
        find_place(hardware(devices=2), torchrun)
    # a job of a sweep starts the processes of its devices itself, under any launcher
    assert find_place(hardware(devices=2), {}, multirun=True).rank == (0, 2)
    with pytest.raises(UserError, match="-m under torchrun: each of the 8 processes"):
        find_place(hardware(devices=4, nodes=2), torchrun, multirun=True)
    with pytest.raises(UserError, match=r"hardware\.nodes=2, but nothing has started.*torchrun --nnodes=2"):
        find_place(hardware(devices=4, nodes=2), {})


def test_two_devices_compare_runs_as_one_does(run, tmp_path):
    folder = tmp_path / "runs"
    masks = expanded(["evaluation_masks=span"], "train")
    one = run(*masks, "trainer.max_steps=2", "trainer.val_check_interval=2", run_dir=folder / "one")
    shutil.copytree(one.run_dir, folder / "two")
    asked = expanded([f"run={folder}", "masks=token,span", "hardware=cpu", TWO], "evaluate")
    rows = compare(compose_command("evaluate", *asked))
    assert [row.name for row in rows] == ["one", "two"]
    for row in rows:
        assert row.metrics["token 0.15/loss"] == pytest.approx(one.metrics["test/loss"], rel=1e-5)
        for name in ("loss", "bits_per_byte", "accuracy"):
            assert row.metrics[f"span 0.15/{name}"] == pytest.approx(one.metrics[f"test/span/{name}"], rel=1e-5)
