"""Measures how much sooner a recipe reaches the loss of its peers, on the same tokens and the same machine.

    python scripts/race/race.py --source ../shared/data/wikimedia/wikipedia

The contestants (see `contestants.py`) are `bert`, `modernbert` and `ours`, which is `experiment=fast_mini`. Times
are computed from two quantities that do not depend on the load of the machine: the loss over steps, which a seed
determines, and the median time of a step, measured in turns. Wall-clock times are reported too. For each
vocabulary, the steps of all contestants are timed. The peers are tuned in short runs, over four learning rates and
then two batch sizes. Each peer then runs once for the whole time, ours runs with three seeds for a part of it and,
with `--whole`, once as long as the peers. The results are written to race.json, race.md and race.svg.

Every curve is a JSON file of its own, named after its contestant. To repeat a run, delete its file. As curves do
not depend on the clock, `--jobs 2` computes two at a time, each on one thread.
"""

import argparse
import dataclasses
import itertools
import json
import platform
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from contestants import PEERS, ROOT, Contestant, Spec, add_corpus, corpus, start

SHORT = 1 / 6  # of the race: the length of a tuning run
EVALUATIONS = 30
BLOCK = 128
OUR_ROWS = 16  # of experiment=fast_mini


def curve(spec: Spec, folder: Path) -> dict[str, Any]:
    """Returns the loss curve of a contestant, from its file if that exists."""
    name = f"{spec.name}-rows{spec.rows}" + (f"-lr{spec.lr:g}" if spec.name in PEERS else "")
    path = folder / f"{name}-steps{spec.steps}-seed{spec.seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    print(f"{path} ...", flush=True)
    contestant = Contestant(spec)
    points, clock = [], 0.0
    for _ in range(spec.steps):
        lap = contestant.step()
        clock += lap["seconds"]
        if "loss" in lap:
            points.append({"step": lap["step"], "loss": lap["loss"], "clock": clock})
            print(f"  step {lap['step']:5}  {clock:6.0f} s  {lap['loss']:.4f}", flush=True)
    contestant.close()
    found = {"spec": dataclasses.asdict(spec), **contestant.model, "points": points}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1))
    return found


def curves(specs: list[Spec], folders: list[Path], jobs: int) -> list[dict[str, Any]]:
    """Returns the curves of several contestants, `jobs` at a time; each on one thread if that is more than one."""
    if jobs > 1:
        specs = [dataclasses.replace(spec, environment=("OMP_NUM_THREADS=1",)) for spec in specs]
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(curve, specs, folders))


def reached(points: list[dict[str, Any]], loss: float) -> float:
    """Returns the step at which a curve reaches a loss, by linear interpolation; infinity if it never does."""
    for before, after in itertools.pairwise(points):
        if after["loss"] <= loss < before["loss"]:
            share = (before["loss"] - loss) / (before["loss"] - after["loss"])
            return before["step"] + share * (after["step"] - before["step"])
    return points[0]["step"] if points[0]["loss"] <= loss else float("inf")


def loss_at(points: list[dict[str, Any]], step: float) -> float:
    """Returns the loss of a curve after a step, by linear interpolation."""
    return float(np.interp(step, [point["step"] for point in points], [point["loss"] for point in points]))


def marks(steps: int, number: int) -> tuple[int, ...]:
    """Returns the steps after which to evaluate, evenly spread, including the last one."""
    return tuple(sorted({max(round(steps * i / number), 1) for i in range(1, number + 1)}))


@dataclasses.dataclass
class Race:
    """A race with one vocabulary: what its contestants train on, and where its files are."""

    data: tuple[str, ...]
    folder: Path
    minutes: float
    short_minutes: float
    seeds: list[int]
    rates: list[float]
    rows: list[int]
    repeat: int
    jobs: int
    whole: bool

    def time(self, again: bool = False) -> dict[str, float]:
        """Returns the median seconds of a step of each contestant, measured in turns.

        The first measurement also becomes the plan, which determines how many steps a run has.
        """
        path, plan = self.folder / "time.json", self.folder / "plan.json"
        if path.exists() and plan.exists() and not again:
            return json.loads(path.read_text())["seconds"]
        specs = {f"{name}-rows{rows}": Spec(name, self.data, 1000, rows) for name in PEERS for rows in self.rows}
        specs["ours"] = self._ours(1000, 1)
        seconds, laps = in_turns(specs, self.repeat)
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"seconds": seconds, "laps": laps}, indent=1))
        if not plan.exists():
            plan.write_text(json.dumps(seconds, indent=1))
        return seconds

    def steps(self, name: str, minutes: float) -> int:
        """Returns how many steps a contestant takes in this time."""
        self.time()
        return max(round(60 * minutes / json.loads((self.folder / "plan.json").read_text())[name]), 2)

    def tune(self) -> dict[str, tuple[float, int]]:
        """Returns for each peer the learning rate and rows per step with the lowest final loss in a short run."""
        ends: dict[str, dict[tuple[float, int], float]] = {name: {} for name in PEERS}

        def best(name: str) -> tuple[float, int]:
            return min(ends[name], key=lambda setting: ends[name][setting])

        def try_out(settings: list[tuple[str, float, int]]) -> None:
            specs = [self._peer(*setting, minutes=self.minutes * SHORT, evaluations=3) for setting in settings]
            for (name, rate, rows), found in zip(settings, self._curves(specs), strict=True):
                ends[name][rate, rows] = found["points"][-1]["loss"]

        first, *others = self.rows
        try_out([(name, rate, first) for name in PEERS for rate in self.rates])
        try_out([(name, best(name)[0], rows) for name in PEERS for rows in others])
        for name, found in ends.items():
            losses = {f"{rate:g}, {rows} blocks": round(loss, 4) for (rate, rows), loss in found.items()}
            print(name, losses, flush=True)
        return {name: best(name) for name in PEERS}

    def run(self) -> list[dict[str, Any]]:
        """Returns the curves of all contestants, with their names, seconds per step, and points."""
        seconds = self.time()
        lanes, specs = [], []
        for name, (rate, rows) in self.tune().items():
            lanes.append({"name": name, "seconds": seconds[f"{name}-rows{rows}"], "rate": rate, "rows": rows})
            specs.append(self._peer(name, rate, rows, self.minutes, EVALUATIONS))
        if self.whole:
            lanes.append({"name": "ours, as long as the peers", "seconds": seconds["ours"]})
            specs.append(self._ours(self.steps("ours", self.minutes), self.seeds[0]))
        for seed in self.seeds:
            lanes.append({"name": f"ours, seed {seed}", "seconds": seconds["ours"]})
            specs.append(self._ours(self.steps("ours", self.short_minutes), seed))
        return [lane | found for lane, found in zip(lanes, self._curves(specs), strict=True)]

    def _curves(self, specs: list[Spec]) -> list[dict[str, Any]]:
        return curves(specs, [self.folder] * len(specs), self.jobs)

    def _peer(self, name: str, rate: float, rows: int, minutes: float, evaluations: int) -> Spec:
        steps = self.steps(f"{name}-rows{rows}", minutes)
        return Spec(name, self.data, steps, rows, lr=rate, evaluate_at=marks(steps, evaluations))

    def _ours(self, steps: int, seed: int) -> Spec:
        evaluate_at = marks(steps, EVALUATIONS)
        return Spec("ours", self.data, steps, rows=0, experiment="fast_mini", seed=seed, evaluate_at=evaluate_at)


def in_turns(specs: dict[str, Spec], repeat: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Returns the median seconds of a step of each contestant, and all seconds. In a turn, each takes one step."""
    contestants = start(
        {name: dataclasses.replace(spec, in_turns=True, evaluate_at=()) for name, spec in specs.items()}
    )
    laps: dict[str, list[float]] = {name: [] for name in specs}
    for _ in range(repeat + 2):
        for name, contestant in contestants.items():
            laps[name].append(contestant.step()["seconds"])
    for contestant in contestants.values():
        contestant.close()
    return {name: statistics.median(found[2:]) for name, found in laps.items()}, laps


def report(lanes: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the figures of a race with one vocabulary."""
    ours = [lane for lane in lanes if lane["name"].startswith("ours, seed")]
    whole = next((lane for lane in lanes if lane["name"] == "ours, as long as the peers"), None)
    figures: dict[str, Any] = {"contestants": [], "beside": {}}
    for lane in lanes:
        end = lane["points"][-1]
        figures["contestants"].append(
            {key: lane[key] for key in ("name", "parameters", "rate", "rows") if key in lane}
            | {
                "milliseconds of a step": round(lane["seconds"] * 1000),
                "steps": end["step"],
                "minutes": round(end["step"] * lane["seconds"] / 60, 2),
                "minutes on the clock": round(end["clock"] / 60, 1),
                "loss": round(end["loss"], 4),
            }
        )
    for peer in (lane for lane in lanes if lane["name"] in PEERS):
        loss = min(point["loss"] for point in peer["points"])
        theirs = peer["points"][-1]["step"] * peer["seconds"]
        our_steps = [reached(lane["points"], loss) for lane in ours]
        mine = [steps * lane["seconds"] for steps, lane in zip(our_steps, ours, strict=True)]
        tokens = peer["points"][-1]["step"] * peer["rows"]
        our_end = ours[0]["points"][-1]["step"] * ours[0]["seconds"]
        figures["beside"][peer["name"]] = {
            "its loss": round(loss, 4),
            "its seconds": round(theirs),
            "our seconds, by seed": [round(seconds, 1) for seconds in mine],
            "times sooner, by seed": [round(theirs / seconds, 1) for seconds in mine],
            "times sooner, median": round(theirs / statistics.median(mine), 1),
            "times fewer tokens, median": round(tokens / (statistics.median(our_steps) * OUR_ROWS), 1),
            "its loss in our time": round(loss_at(peer["points"], our_end / peer["seconds"]), 4),
            "our loss in its time": None if whole is None else round(whole["points"][-1]["loss"], 4),
        }
    return figures


def table(races: dict[int, dict[str, Any]]) -> str:
    """The figures as Markdown."""
    lines = []
    for vocabulary, figures in races.items():
        lines += [f"Vocabulary of {vocabulary:,}:", ""]
        lines += ["| | parameters | learning rate | blocks a step | ms a step | steps | minutes | loss |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for row in figures["contestants"]:
            lines.append(
                f"| {row['name']} | {row['parameters']:,} | {row.get('rate', '')} | {row.get('rows', OUR_ROWS)} "
                f"| {row['milliseconds of a step']} | {row['steps']:,} | {row['minutes']} | {row['loss']} |"
            )
        lines += ["", "| peer | its loss | its seconds | our seconds | times sooner | its loss in our time |"]
        lines += ["|---|---|---|---|---|---|"]
        for name, row in figures["beside"].items():
            seconds = ", ".join(str(found) for found in row["our seconds, by seed"])
            ratios = ", ".join(str(found) for found in row["times sooner, by seed"])
            lines.append(
                f"| {name} | {row['its loss']} | {row['its seconds']} | {seconds} "
                f"| {row['times sooner, median']} ({ratios}) | {row['its loss in our time']} |"
            )
        lines.append("")
    return "\n".join(lines)


def draw(races: dict[int, list[dict[str, Any]]], path: Path) -> None:
    """Draws loss over seconds and over tokens, one row for each vocabulary."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6 * len(races)), layout="constrained")
    panels = figure.subplots(len(races), 2, squeeze=False, sharey="row")
    colours = {"bert": "tab:red", "modernbert": "tab:orange", "ours": "tab:blue"}
    for (vocabulary, lanes), (by_time, by_tokens) in zip(races.items(), panels, strict=True):
        for lane in lanes:
            kind = lane["name"].split(",")[0]
            steps, losses = zip(*((point["step"], point["loss"]) for point in lane["points"]), strict=True)
            style = {"color": colours[kind], "alpha": 0.5 if "seed" in lane["name"] else 1.0, "label": lane["name"]}
            by_time.plot([step * lane["seconds"] for step in steps], losses, **style)
            by_tokens.plot([step * lane.get("rows", OUR_ROWS) * BLOCK / 1e6 for step in steps], losses, **style)
        by_time.set(
            xlabel="seconds (steps x median of a step)", ylabel=f"validation loss, vocabulary {vocabulary:,}"
        )
        by_tokens.set(xlabel="million tokens")
        by_time.legend()
        for panel in (by_time, by_tokens):
            panel.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_corpus(parser)
    parser.add_argument("--folder", type=Path, default=ROOT / "logs" / "race", help="where curves and report go")
    parser.add_argument("--vocabularies", nargs="*", type=int, default=[8192, 30522])
    parser.add_argument("--minutes", type=float, default=15, help="how long a peer trains")
    parser.add_argument("--short-minutes", type=float, default=3, help="how long our runs in the race are")
    parser.add_argument("--whole", action="store_true", help="also run ours as long as the peers")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--repeat", type=int, default=15, help="steps of each that are timed")
    parser.add_argument("--rates", nargs="*", type=float, default=[3e-4, 5e-4, 1e-3, 2e-3], help="of the peers")
    parser.add_argument(
        "--rows", nargs="*", type=int, default=[16, 32], help="of the peers; rates are tuned with the first"
    )
    parser.add_argument("--jobs", type=int, default=1, help="curves computed at a time")
    parser.add_argument(
        "--time-again", action="store_true", help="measure the time of steps again, and keep the curves"
    )
    arguments = parser.parse_args()
    races, figures = {}, {}
    for vocabulary in arguments.vocabularies:
        data = (
            *corpus(arguments),
            f"data.block_size={BLOCK}",
            f"tokenizer.vocabulary_size={vocabulary}",
        )
        folder = arguments.folder / str(vocabulary)
        race = Race(
            data,
            folder,
            arguments.minutes,
            arguments.short_minutes,
            arguments.seeds,
            arguments.rates,
            arguments.rows,
            arguments.repeat,
            arguments.jobs,
            arguments.whole,
        )
        race.time(arguments.time_again)
        races[vocabulary] = race.run()
        figures[vocabulary] = report(races[vocabulary])
    machine = {"machine": platform.processor() or platform.machine(), "date": time.strftime("%Y-%m-%d")}
    (arguments.folder / "race.json").write_text(json.dumps(machine | {"races": figures}, indent=1))
    (arguments.folder / "race.md").write_text(table(figures))
    draw(races, arguments.folder / "race.svg")
    print(table(figures))


if __name__ == "__main__":
    main()
