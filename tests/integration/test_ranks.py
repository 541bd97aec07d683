"""Runs on several devices: two processes on the CPU share the batches of one."""

import csv
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from maskwright.core.errors import Interrupted, UserError
from maskwright.run import follow, ranks
from maskwright.run.evaluate import evaluate
from maskwright.run.ranks import find_place
from maskwright.settings.hardware import Hardware
from tests.conftest import ROOT, TINY, compose_command

LOSSES = ("train/loss", "train/accuracy", "train/mlm_loss", "train/masked", "validation/loss", "validation/accuracy")
TWO = "hardware.devices=2"


class _Forked:
    """A process that is forked from this one: it needs no import, which takes ten seconds."""

    def __init__(self, place, number, log):
        own = {"RANK": number, "WORLD_SIZE": place.rank.world_size, "MASTER_ADDR": place.address}
        self.environment = {name: str(value) for name, value in (own | {"MASTER_PORT": place.port}).items()}
        self.log = log
        self.process = multiprocessing.get_context("fork").Process(target=self._follow)
        self.process.start()

    def _follow(self):
        handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        torch.set_num_threads(1)
        ranks.follow(ranks.place_of_follower(self.environment), follow.run)

    def wait(self, timeout=None):
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("rank", timeout)
        return self.process.exitcode

    def terminate(self):
        self.process.terminate()

    def kill(self):
        self.process.kill()


@pytest.fixture(autouse=True)
def _forked(monkeypatch, tmp_path):
    monkeypatch.setattr(ranks, "_start", lambda place, number: _Forked(place, number, tmp_path / f"rank{number}.log"))


def curves(result) -> dict[str, list[float]]:
    with open(result.run_dir / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    found = {name: [float(row[name]) for row in rows if row.get(name)] for name in LOSSES}
    return {name: values for name, values in found.items() if values}


def assert_alike(one, two, rel=1e-4):
    first, second = curves(one), curves(two)
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert second[name] == pytest.approx(values, rel=rel, abs=1e-5), name
    shared = {name: value for name, value in one.metrics.items() if name.startswith(("test/", "validation/"))}
    assert shared
    for name, value in shared.items():
        assert two.metrics[name] == pytest.approx(value, rel=rel, abs=1e-5), name


MASKS = ("token", "wholeword", "span", "adaptive", "pmi")


@pytest.mark.parametrize("mask", MASKS)
def test_two_devices_train_as_one_does(run, mask):
    overrides = [f"mask={mask}", "trainer.max_steps=20", "trainer.val_check_interval=10"]
    one = run(*overrides)
    two = run(*overrides, TWO)
    assert_alike(one, two)
    for name, value in one.task.masker.state_dict().items():
        assert torch.equal(value, two.task.masker.state_dict()[name]), name


def test_micro_batches_of_two_devices(run):
    one = run("mask=span")
    assert_alike(one, run("mask=span", TWO, "hardware.accumulate_grad_batches=2"))


LABELLED = {
    "classification": ("task=classification", "data=csv"),
    "weighted": ("task=classification", "data=csv", "task.class_weights=balanced", "hardware.accumulate_grad_batches=2"),
    "frozen": ("task=classification", "data=csv", "task.finetuning.freeze=1", "task.finetuning.gradual_unfreezing=0.5"),
    "multitask": ("task=multitask", "data=csv", "mask=token"),
    "tagging": ("task=tagging", "data=conll", "data.published=null"),
}


@pytest.mark.parametrize("name", LABELLED)
def test_two_devices_learn_labels_as_one_does(run, reviews, names, name):
    source = names if name == "tagging" else reviews
    # few rows a step, and a number of rows in evaluations that two devices cannot share evenly
    overrides = [*LABELLED[name], f"data.source={source}", "data.tokens_per_batch=200", "task.dropout=0"]
    overrides += ["trainer.max_steps=20", "trainer.val_check_interval=10"]
    one, two = run(*overrides), run(*overrides, TWO)
    assert_alike(one, two, rel=1e-3)
    assert len((two.run_dir / "predictions.jsonl").read_text().splitlines()) == len(two.data.tokens["test"].ends)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_resuming_on_another_number_of_devices(run, tmp_path, before, after):
    whole = run("mask=adaptive", "trainer.max_steps=6")
    devices = [f"hardware.devices={before}", f"hardware.devices={after}"]
    begun = run("mask=adaptive", "trainer.max_steps=3", "schedule=constant", devices[0])
    resumed = run("mask=adaptive", f"ckpt_path={begun.run_dir}", f"run_dir={tmp_path / 'resumed'}", devices[1])
    del whole
    assert resumed.trainer.global_step == 6


def test_evaluating_on_two_devices(run):
    trained = run(TWO)
    for devices in (1, 2):
        cfg = compose_command("evaluate", f"run={trained.run_dir}", "hardware=cpu", f"hardware.devices={devices}")
        metrics = evaluate(cfg)
        assert metrics["test/loss"] == pytest.approx(trained.metrics["test/loss"], rel=1e-6)
