"""The arithmetic of the race and of the study of its recipe, on artificial curves."""

import argparse
import dataclasses
import itertools
import math
import statistics
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "race"))
import contestants
import curves
import downstream
import peers
import recipe
import results
import tuning
import width


def points(*losses, every=10):
    return [{"step": every * i, "loss": loss, "clock": 7.0 * i} for i, loss in enumerate(losses, 1)]


@pytest.mark.parametrize(
    ("loss", "step"),
    [(7.5, 10), (7.0, 10), (6.5, 15), (6.0, 20), (5.5, 45), (4.0, float("inf"))],
)
def test_a_loss_is_reached_between_two_points(loss, step):
    assert curves.reached(points(7.0, 6.0, 6.2, 6.0, 5.0), loss) == pytest.approx(step)


def test_the_default_corpus_is_a_config():
    parser = argparse.ArgumentParser()
    contestants.add_corpus(parser)
    spec = contestants.Spec("ours", contestants.corpus(parser.parse_args([])), 2, experiment="fast_mini")
    assert Path(contestants.config_of(spec, "run_dir=x").data.cache_dir) == Path.home() / ".cache" / "maskwright"


@pytest.mark.parametrize(("steps", "number"), [(100, 10), (7, 3), (2, 30)])
def test_a_run_is_evaluated_evenly_and_at_its_end(steps, number):
    marks = curves.marks(steps, number)
    assert marks[-1] == steps
    assert len(marks) == min(steps, number)
    assert marks[0] >= 1


def lane(name, seed, *losses, seconds=1.0, rows=16):
    return {
        "name": name,
        "seed": seed,
        "seconds": seconds,
        "rows": rows,
        "parameters": 5,
        "points": points(*losses),
    }


def test_the_report_compares_seconds_made_of_steps(tmp_path):
    best = tuning.START["bert"]
    lanes = [
        lane("bert", 1, 7, 6.5, 6.4, seconds=2.0, rows=8),
        lane("bert", 2, 7, 6.7, 6.6, seconds=2.0, rows=8),
        lane("ours", 1, 7, 6, 5, seconds=0.5),
        lane("ours", 2, 7, 6.4, 5, seconds=0.5),
    ]
    tuned = {"bert": {"best": best, "short": {best: 6.9}, "whole": {best: 6.4}, "border": []}}
    made = {"a race": {"lanes": lanes, "tuned": tuned}}
    figures = results.report(made["a race"])
    beside = figures["beside"]["bert"]
    assert beside["its mean loss"] == 6.5
    assert beside["its seconds"] == 60
    assert beside["our seconds, by seed"] == [7.5, pytest.approx(9.2, abs=0.05)]
    assert beside["times sooner"] == pytest.approx(60 / statistics.median([7.5, 9.1667]), abs=0.01)
    pairs = [60 / (0.5 * step) for step in (14, 16, 10 + 20 / 3, 20)]  # each seed of ours, each loss of bert
    assert beside["times sooner, pairs of seeds"] == [round(min(pairs), 2), round(max(pairs), 2)]
    assert beside["its mean loss in our time"] == 7  # its first step takes longer
    assert figures["contestants"][0]["loss, by seed"] == [6.4, 6.6]
    counted = results.report({"lanes": [own | {"counting": 3.0} for own in lanes[2:]] + lanes[:2], "tuned": tuned})
    assert counted["beside"]["bert"]["our seconds, by seed"] == [10.5, pytest.approx(12.2, abs=0.05)]
    assert counted["contestants"][0]["seconds"] == 18
    assert "| `bert` | 6.5 | 60 |" in results.table({"a race": figures})
    results.draw(made, tmp_path / "race.svg")
    assert "bert" in (tmp_path / "race.svg").read_text()


def test_the_search_ends_inside_the_grid():
    best = tuning.Setting(lr=8e-3, rows=4, mask_ratio=0.4, weight_decay=0.1, beta2=0.95)
    tried = []

    def losses(settings):
        tried.extend(settings)
        return [
            abs(math.log2(s.lr / best.lr))
            + abs(math.log2(s.rows / best.rows))
            + sum(abs(getattr(s, key) - getattr(best, key)) for key in ("mask_ratio", "weight_decay", "beta2"))
            for s in settings
        ]

    begin = tuning.START["modernbert"]
    grid = tuning.grid_of(begin)
    found = tuning.search([begin], grid, losses)
    assert tuning.ranked(found)[0] == best
    assert tuning.at_border(found, grid) == []
    assert len(tried) == len(set(tried)) == len(found) <= 20
    few = tuning.search([begin], grid, losses, most=2)
    assert len(few) == 2
    assert tuning.at_border(few, grid) == list(grid)
    best = dataclasses.replace(best, mask_ratio=0.5)
    found = tuning.search(list(few), grid, losses)
    assert tuning.ranked(found)[0] == best
    assert tuning.at_border(found, grid) == ["mask_ratio"]


def test_the_rate_of_a_fine_tuning_has_worse_ones_on_both_sides(tmp_path, monkeypatch):
    tried = []

    def fine_tune(folder, model, settings, rate, seed):
        tried.append(rate)
        return {"validation/f1": 1 - abs(math.log2(rate / 8e-3)), "test/f1": 0.0}

    monkeypatch.setattr(downstream, "fine_tune", fine_tune)
    monkeypatch.setattr(downstream, "objective", lambda folder: "test/f1")
    assert downstream.best_rate(tmp_path, {2: tmp_path}, []) == pytest.approx(8e-3)
    assert sorted(tried) == pytest.approx([1e-3, 2e-3, 4e-3, 8e-3, 16e-3])


def test_a_setting_that_diverges_is_the_worst():
    begin = tuning.START["bert"]
    found = tuning.search(
        [begin], {"lr": tuning.DOUBLED}, lambda s: [math.nan if one.lr > 6e-4 else one.lr for one in s]
    )
    assert math.isinf(max(found.values()))
    assert tuning.ranked(found)[0].lr < 6e-4


def test_a_block_cannot_be_halved():
    one = tuning.Setting(lr=1e-3, rows=1, mask_ratio=0.3, weight_decay=0.01, beta2=0.98)
    assert [near.rows for near in tuning.neighbours(one, "rows", tuning.DOUBLED)] == [2]
    assert [near.mask_ratio for near in tuning.neighbours(one, "mask_ratio", (0.15, 0.3, 0.4, 0.5))] == [0.15, 0.4]


def test_the_time_of_a_step_is_that_of_whole_periods():
    assert curves.typical([1.0, 9.0, 2.0], 1) == 2.0
    assert curves.typical([1.0, 3.0, 1.5, 3.5, 1.0, 4.0, 9.0], 2) == 2.5


def test_the_gain_of_a_change_is_measured_at_the_loss_that_both_reach():
    own, better, worse = ({"points": points(*losses)} for losses in ((7, 6, 5), (6, 5, 4), (7, 6.5, 6)))
    assert recipe.gain(own, better, None)["time to loss"] == pytest.approx(30 / 20)
    assert recipe.gain(own, worse, None)["time to loss"] == pytest.approx(20 / 30, abs=1e-3)
    assert recipe.gain(own, better, [1.0, 3.0])["time to loss"] == pytest.approx(30 / 60)
    counted = own | {"counting": 15.0}  # seconds before the first step
    assert recipe.gain(counted, better, [1.0, 3.0])["time to loss"] == pytest.approx(45 / 60)
    assert recipe.gain(counted, better, None)["time to loss"] == pytest.approx(30 / 20)


def test_a_peer_with_counts_predicts_what_both_neighbours_say():
    generator = torch.Generator().manual_seed(0)
    size, prior = 6, 1000.0
    ids = torch.randint(size, (2, 9), generator=generator)
    labels = torch.where(torch.rand(2, 9, generator=generator) < 0.4, ids, -100)

    class Silent(nn.Module):
        def forward(self, input_ids, attention_mask):
            return (torch.zeros(*input_ids.shape, 1),)

    class Tokenizer:
        is_special = np.zeros(size, bool)

        def __len__(self):
            return size

    corpus = SimpleNamespace(
        tokenizer=Tokenizer(),
        training_rows=lambda most: [(ids, None)],
        tokens={"train": SimpleNamespace(count=ids.numel())},
    )
    body = Silent()
    forward = peers.ForwardWithCounts(body, lambda hidden: torch.zeros(len(hidden), size), corpus)
    counts = np.zeros((size, size))
    for row in ids.tolist():
        for pair in itertools.pairwise(row):
            counts[pair] += 1
    often = counts.sum(0) + 1
    share = often / often.sum()

    def loss(taken_out):
        found = []
        for row, place in (labels != -100).nonzero().tolist():
            own, said = int(labels[row, place]), np.zeros(size)
            for offset, table in ((-1, counts), (1, counts.T)):
                if 0 <= place + offset < ids.shape[1]:
                    seen = table[ids[row, place + offset]].copy()
                    seen[own] -= taken_out
                    said += np.log1p(seen / (prior * share))
            found.append(np.log(np.exp(said).sum()) - said[own])
        return np.mean(found)

    given = {"input_ids": ids, "labels": labels}
    body.eval()
    assert float(forward(**given)["loss"]) == pytest.approx(loss(0), rel=1e-3)
    body.train()
    assert float(forward(**given)["loss"]) == pytest.approx(loss(1), rel=1e-3)
    assert loss(1) > loss(0)


def test_the_rates_of_a_size_have_worse_ones_on_both_sides(tmp_path, monkeypatch):
    def curves_of(specs, names, folders, jobs):
        assert {folder.name for folder in folders} == {"tiny"}
        given = [dict(override.split("=") for override in spec.overrides) for spec in specs]
        assert {one["model/size"] for one in given} == {"tiny"}
        distances = [
            abs(math.log2(float(one["optimizer.lr"]) / 2e-2))
            + abs(math.log2(float(one["optimizer.adamw_lr"]) / 1e-3))
            for one in given
        ]
        return [{"points": points(9.0, distance)} for distance in distances]

    monkeypatch.setattr(width, "curves", curves_of)
    arguments = ["width.py", "--folder", str(tmp_path), "--sizes", "tiny"]
    monkeypatch.setattr(sys, "argv", arguments)
    width.main()
    assert "| tiny | 128 | 2 | 0.02 | 0.001 | 0.0 | 3.0 |" in (tmp_path / "width.md").read_text()


def test_a_peer_that_was_stopped_goes_on_exactly(corpus, tmp_path, monkeypatch):
    data = (
        f"data.source={corpus}",
        f"data.cache_dir={tmp_path}",
        "tokenizer.vocabulary_size=300",
        "data.block_size=32",
    )
    spec = contestants.Spec("modernbert-muon", data, 8, rows=2, size="tiny", counts=True, evaluate_at=(2, 4, 8))
    whole, kept = (dataclasses.replace(spec, unfinished=str(tmp_path / name)) for name in ("whole", "unfinished"))
    expected = curves.curve(whole, "whole", tmp_path)
    known = []

    class Stopped(contestants.Contestant):
        def __init__(self, given):
            super().__init__(dataclasses.replace(given, in_turns=not known))
            known.append(list(self.points))

        def step(self):
            lap = super().step()
            if lap["step"] == 6 and len(known) == 1:
                raise KeyboardInterrupt
            return lap

    monkeypatch.setattr(curves, "Contestant", Stopped)
    with pytest.raises(KeyboardInterrupt):
        curves.curve(kept, "stopped", tmp_path)
    found = curves.curve(kept, "stopped", tmp_path)
    assert [[point["step"] for point in points] for points in known] == [[], [2, 4]]
    assert [(p["step"], p["loss"]) for p in found["points"]] == [(p["step"], p["loss"]) for p in expected["points"]]
    assert not (tmp_path / "unfinished").exists()


class Scripted:
    """A contestant whose loss falls by 1 a step, until it is killed."""

    until = None

    def __init__(self, spec):
        self.spec, self.number, self.points, self.model = spec, 0, [], {"parameters": 5}
        if spec.save is not None:
            Path(spec.save).mkdir(parents=True)

    def step(self):
        self.number += 1
        if self.number == self.until:
            raise KeyboardInterrupt
        told = {"loss": 9.0 - self.number} if self.number in self.spec.evaluate_at else {}
        return {"step": self.number, "clock": 1.0 * self.number, **told}

    def finish(self):
        (Path(self.spec.save) / "done").touch()

    def close(self):
        pass


def test_a_curve_of_other_settings_is_not_taken_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "Contestant", Scripted)
    spec = contestants.Spec("bert", ("data.limit=40", "data.cache_dir=/here"), 6, evaluate_at=(3, 6))
    assert [point["step"] for point in curves.curve(spec, "bert", tmp_path)["points"]] == [3, 6]
    elsewhere = dataclasses.replace(spec, data=("data.cache_dir=/there", "data.limit=40"), environment=("A=1",))
    monkeypatch.setattr(curves, "Contestant", None)  # it is not trained again
    assert curves.curve(elsewhere, "bert", tmp_path)["points"][-1]["loss"] == 3
    for key, value in (("data", ("data.limit=41",)), ("overrides", ("mask.ratio=0.15",)), ("counts", True)):
        with pytest.raises(SystemExit, match=f"{key} is .* there, .* here. Delete it, or choose another"):
            curves.curve(dataclasses.replace(spec, **{key: value}), "bert", tmp_path)
    monkeypatch.setattr(curves, "Contestant", Scripted)
    finer = curves.curve(dataclasses.replace(spec, evaluate_at=(2, 4, 6)), "bert", tmp_path)
    assert [point["step"] for point in finer["points"]] == [2, 4, 6]


def test_a_model_is_there_when_its_run_is_complete(tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "Contestant", Scripted)
    model = tmp_path / "models" / "ours"
    spec = contestants.Spec("ours", (), 6, evaluate_at=(6,), save=str(model))
    monkeypatch.setattr(Scripted, "until", 4)
    with pytest.raises(KeyboardInterrupt):
        curves.curve(spec, "ours", tmp_path)
    assert not model.exists()
    monkeypatch.setattr(Scripted, "until", None)
    curves.curve(spec, "ours", tmp_path)
    assert [path.name for path in model.iterdir()] == ["done"]
    (model / "done").unlink()
    model.rmdir()
    curves.curve(spec, "ours", tmp_path)
    assert not model.exists()
    curves.curve(spec, "ours", tmp_path, with_model=True)
    assert (model / "done").exists()


def test_seconds_of_another_cpu_are_refused(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text('{"device": "Abacus", "seconds": {"own": 1.0}}')
    with pytest.raises(SystemExit, match="was measured on Abacus, and this is .* Choose another --folder"):
        curves.in_turns({}, tmp_path / "a.json", 3)
    monkeypatch.setattr(curves, "device_name", lambda kind: "Abacus")
    assert curves.in_turns({}, tmp_path / "a.json", 3) == {"own": 1.0}
