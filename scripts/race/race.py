"""Measures how much sooner a recipe reaches the loss of its peers, on the same tokens and the same machine.

    python scripts/race/race.py --source ../shared/data/wikimedia/wikipedia
    python scripts/race/race.py --source ../shared/data/wikimedia/wikipedia --vocabularies 8192 --minutes 15 60
    python scripts/race/race.py --source ../shared/data/wikimedia/wikipedia --vocabularies 8192 --counts all

The contestants (see `contestants.py`) are `bert`, `modernbert`, `modernbert-muon`, and `ours`, which is
`experiment=fast_mini`. Counts of neighbours are added to the logits of ours alone, so that the peers are as they
were published; with `--counts all` to those of the peers too, and with `--counts none` to nobody's. Times are
computed from two quantities that do not depend on the load of the machine: the loss over steps, which a seed
determines, and the time of a step, measured in turns with a step of a peer. Where neighbours are counted before the
first step, the seconds that this took are added. Wall-clock times are reported too.

Each peer is tuned (`tuning.py`): learning rate, blocks a step, mask ratio, weight decay and beta2, one at a
time, in runs of `--short-minutes`; rates and blocks are halved and doubled until the best value has worse ones on
both sides. The best `--finalists` settings then run for all `--minutes`; from the best of these on, rates and mask
ratio are tuned once more in runs of that length. What comes out runs with each seed. Ours runs with each seed for
`--our-share` of that time. A longer race begins its search where the shorter one ended, and another vocabulary
where the first race of the one before did. The results are written to race.json, race.md and race.svg, or to
race-counts-all.json and so on.

Every curve is a JSON file of its own, named after its contestant, and is not computed again: a race that was
stopped continues where it was, whole runs of peers from their last checkpoint. The models of whole runs are kept in
the folder `models`. After a change of our recipe, delete the curves, times and models named `ours`. As curves do
not depend on the clock, `--jobs 2` computes two at a time, each on one thread.
"""

import argparse
import dataclasses
import json
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from contestants import PEERS, ROOT, Spec, add_corpus, corpus
from curves import curves, in_turns, marks, name_of_run
from results import draw, report, table
from tuning import AGAIN, START, Grid, Setting, at_border, grid_of, ranked, search

from maskwright.core.device import device_name

EVALUATIONS = 30
BLOCK = 128
OUR_ROWS = 16  # of experiment=fast_mini
COUNTS = ("ours", "all", "none")  # to whose logits counts are added
REFERENCE = "modernbert"  # to whose steps, with the settings of its START, all others are compared


@dataclasses.dataclass
class Race:
    """A race with one vocabulary: what its contestants train on, and where its files are.

    Args:
        counts: one of `COUNTS`.
        most: the number of settings of a peer that are tried at most, in short runs and again in whole ones; None
            for as many as the search asks for.
    """

    data: tuple[str, ...]
    folder: Path
    peers: list[str]
    seeds: list[int]
    our_share: float = 0.25
    counts: str = "ours"
    finalists: int = 2
    most: int | None = None
    repeat: int = 15
    jobs: int = 1

    @cached_property
    def our_seconds(self) -> float:
        """The seconds of a step of ours."""
        return self._seconds(self.our_name, self._ours(1000, 1))

    @property
    def our_name(self) -> str:
        """That of our curves."""
        return "ours-without-counts" if self.counts == "none" else "ours"

    def _name(self, peer: str) -> str:
        return f"{peer}-counts" if self.counts == "all" else peer

    def seconds(self, name: str, setting: Setting) -> float:
        """Returns the seconds of a step of a peer."""
        rows_and_ratio = f"rows{setting.rows}-ratio{setting.mask_ratio:g}"
        return self._seconds(f"{self._name(name)}-{rows_and_ratio}", self._spec(name, setting, 1000))

    def _seconds(self, key: str, spec: Spec) -> float:
        """Returns the seconds of a step, relative to those of `REFERENCE` in the same turns."""
        timed = in_turns({"own": spec, "reference": self._reference}, self._times / f"{key}.json", self.repeat)
        return self._reference_seconds * timed["own"] / timed["reference"]

    @cached_property
    def _reference_seconds(self) -> float:
        return in_turns({"own": self._reference}, self._times / "reference.json", self.repeat)["own"]

    @property
    def _reference(self) -> Spec:
        return dataclasses.replace(self._spec(REFERENCE, START[REFERENCE], 1000), counts=False)

    @property
    def _times(self) -> Path:
        return self.folder / "times"

    def tune(
        self, name: str, starts: list[Setting], grid: Grid, minutes: float, whole: bool
    ) -> dict[Setting, float]:
        """Returns the losses after a run of so many minutes with each setting that was tried, see `search`."""

        def losses(settings: list[Setting]) -> list[float]:
            found = self.curves([self.peer(name, setting, minutes, whole=whole) for setting in settings])
            return [one["points"][-1]["loss"] for one in found]

        return search(starts, grid, losses, self.most)

    def run(self, begin: dict[str, Setting], minutes: float, short: float) -> dict[str, Any]:
        """Returns the curves of all contestants, `lanes`, and how each peer was tuned, `tuned`."""
        lanes: list[dict[str, Any]] = []
        tuned = {}
        for name in self.peers:
            grid = grid_of(begin[name])
            again = {key: values for key, values in grid.items() if key in AGAIN}
            found = self.tune(name, [begin[name]], grid, short, whole=False)
            whole = self.tune(name, ranked(found)[: self.finalists], again, minutes, whole=True)
            rest = {key: values for key, values in grid.items() if key not in again}
            if border := at_border(found, rest) + at_border(whole, again):
                print(f"{name}: {', '.join(border)} may have better values beyond those that were tried")
            best = ranked(whole)[0]
            tuned[name] = {"best": best, "short": found, "whole": whole, "border": border}
            print(name, best.name, {setting.name: round(loss, 4) for setting, loss in found.items()}, flush=True)
            specs = [self.peer(name, best, minutes, seed) for seed in self.seeds]
            lanes += [
                {
                    "name": name,
                    "seed": seed,
                    "seconds": self.seconds(name, best),
                    **dataclasses.asdict(best),
                    **found,
                }
                for seed, found in zip(self.seeds, self.curves(specs), strict=True)
            ]
        ours = self.curves([self.ours(minutes * self.our_share, seed) for seed in self.seeds])
        lanes += [
            {"name": "ours", "seed": seed, "seconds": self.our_seconds, "rows": OUR_ROWS, **found}
            for seed, found in zip(self.seeds, ours, strict=True)
        ]
        return {"lanes": lanes, "tuned": tuned}

    def curves(self, named: list[tuple[str, Spec]], with_models: bool = False) -> list[dict[str, Any]]:
        """Returns the curves of what `peer` and `ours` return, after training what has none.

        Args:
            with_models: whether the trained models have to exist as well.
        """
        names, specs = [name for name, _ in named], [spec for _, spec in named]
        return curves(specs, names, [self.folder] * len(specs), self.jobs, with_models)

    def peer(
        self, name: str, setting: Setting, minutes: float, seed: int = 1, whole: bool = True
    ) -> tuple[str, Spec]:
        """Returns the name of a peer's curve, and what it trains in so many minutes.

        Args:
            whole: whether the run is evaluated often, goes on where it was stopped, and its model is saved.
        """
        steps = max(round(60 * minutes / self.seconds(name, setting)), 2)
        called, spec = f"{self._name(name)}-{setting.name}", self._spec(name, setting, steps)
        evaluate_at = marks(steps, EVALUATIONS if whole else 3)
        spec = dataclasses.replace(spec, seed=seed, evaluate_at=evaluate_at)
        if whole:
            save, unfinished = (self._place(folder, called, spec) for folder in ("models", "unfinished"))
            spec = dataclasses.replace(spec, save=save, unfinished=unfinished)
        return called, spec

    def _place(self, folder: str, called: str, spec: Spec) -> str:
        return str(self.folder / folder / name_of_run(called, spec))

    def _spec(self, name: str, setting: Setting, steps: int) -> Spec:
        own = {key: value for key, value in dataclasses.asdict(setting).items() if value is not None}
        return Spec(name, self.data, steps, counts=self.counts == "all", **own)

    def ours(self, minutes: float, seed: int) -> tuple[str, Spec]:
        """Returns the name of our curve, and what ours trains in so many minutes."""
        spec = self._ours(max(round(60 * minutes / self.our_seconds), 2), seed)
        return self.our_name, dataclasses.replace(spec, save=self._place("models", self.our_name, spec))

    def _ours(self, steps: int, seed: int) -> Spec:
        evaluate_at = marks(steps, EVALUATIONS)
        recipe = ("model.bigrams=0",) if self.counts == "none" else ()
        own: dict[str, Any] = {"experiment": "fast_mini", "overrides": recipe, "seed": seed}
        return Spec("ours", self.data, steps, rows=0, evaluate_at=evaluate_at, **own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_corpus(parser)
    parser.add_argument("--folder", type=Path, default=ROOT / "logs" / "race", help="where curves and report go")
    parser.add_argument("--vocabularies", nargs="*", type=int, default=[8192, 30522])
    parser.add_argument("--minutes", nargs="*", type=float, default=[15], help="how long a peer trains; rising")
    parser.add_argument("--short-minutes", nargs="*", type=float, help="of tuning; by default a third of --minutes")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--counts", choices=COUNTS, default="ours", help="to whose logits counts are added")
    parser.add_argument("--our-share", type=float, default=0.25, help="the share of --minutes that ours trains")
    parser.add_argument("--finalists", type=int, default=2, help="settings of a peer that run for all --minutes")
    parser.add_argument("--most", type=int, help="settings of a peer that are tried at most")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--repeat", type=int, default=15, help="steps of each that are timed")
    parser.add_argument("--jobs", type=int, default=1, help="curves computed at a time")
    arguments = parser.parse_args()
    shorts = arguments.short_minutes or [minutes / 3 for minutes in arguments.minutes]
    if len(shorts) != len(arguments.minutes):
        parser.error(f"--short-minutes has {len(shorts)} values, but --minutes has {len(arguments.minutes)}")
    races: dict[str, dict[str, Any]] = {}
    first = START
    for vocabulary in arguments.vocabularies:
        data = (*corpus(arguments), f"data.block_size={BLOCK}", f"tokenizer.vocabulary_size={vocabulary}")
        own = {
            key: getattr(arguments, key)
            for key in ("peers", "seeds", "our_share", "counts", "finalists", "most", "repeat", "jobs")
        }
        race = Race(data, arguments.folder / str(vocabulary), **own)
        begin = first
        for minutes, short in zip(arguments.minutes, shorts, strict=True):
            title = title_of(vocabulary, minutes)
            races[title] = race.run(begin, minutes, short)
            begin = begin | {name: found["best"] for name, found in races[title]["tuned"].items()}
            first = begin if minutes == arguments.minutes[0] else first
            write(report_path(arguments.folder, arguments.counts), races)
    print(report_path(arguments.folder, arguments.counts).with_suffix(".md").read_text())


def title_of(vocabulary: int, minutes: float) -> str:
    """Returns what a race is called in its report."""
    return f"vocabulary of {vocabulary:,}, {minutes:g} minutes"


def report_path(folder: Path, counts: str) -> Path:
    """Returns where the report of races is, as JSON."""
    return folder / ("race.json" if counts == "ours" else f"race-counts-{counts}.json")


def write(path: Path, races: dict[str, dict[str, Any]]) -> None:
    """Writes the report about the races so far as JSON, as Markdown and as a picture."""
    figures = {title: report(race) for title, race in races.items()}
    made = {"device": device_name("cpu"), "date": time.strftime("%Y-%m-%d")}
    path.write_text(json.dumps(made | {"races": figures}, indent=1))
    path.with_suffix(".md").write_text(table(figures))
    draw(races, path.with_suffix(".svg"))


if __name__ == "__main__":
    main()
