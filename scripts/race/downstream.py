"""Fine-tunes the encoders of a race, each trained for the same time, on reviews and on names.

    python scripts/race/downstream.py --source ../shared/data/wikimedia/wikipedia --vocabulary 8192 --minutes 15

Takes the settings of the peers from the report that `race.py` has written with the same options, and trains each
contestant for all `--minutes` with each seed, ours too, unless the race has kept its model. The learning rate of
each fine-tuning is tuned for each contestant on its first seed, by the validation split: it is halved and doubled
until the best value has worse ones on both sides. Writes study.json, study.md and study.svg, with differences to
ours. Runs that have finished are not repeated; after a change of our recipe, delete those named `ours` here too.
"""

import argparse
import dataclasses
import json
import shlex
import sys
from pathlib import Path

from contestants import ROOT, add_corpus, corpus
from race import BLOCK, COUNTS, Race, report_path, title_of
from tuning import DOUBLED, Setting, ranked, search

sys.path.insert(0, str(ROOT / "scripts" / "studies"))
from figures import Metric, Study, Values
from studies import finished, objective, run, write_report

TASKS = {
    "imdb": "task=classification data=imdb data.limit=10000 data.block_size=256 data.truncate=both "
    "trainer.max_epochs=2",
    "conll": "task=tagging data=conll data.tokens_per_batch=2048 trainer.max_epochs=5",
}


@dataclasses.dataclass(frozen=True)
class Rate:
    """What is tuned of a fine-tuning."""

    lr: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_corpus(parser)
    parser.add_argument("--folder", type=Path, default=ROOT / "logs" / "race", help="that of race.py")
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--counts", choices=COUNTS, default="ours", help="to whose logits counts are added")
    parser.add_argument("--contestants", nargs="*", help="by default all of the race")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--repeat", type=int, default=15, help="steps that are timed, where they are not yet")
    parser.add_argument("--jobs", type=int, default=1, help="encoders that are trained at a time")
    for name, default in TASKS.items():
        parser.add_argument(f"--{name}", default=default, help="settings of src/train.py; none with ''")
    arguments = parser.parse_args()
    path, title = report_path(arguments.folder, arguments.counts), title_of(arguments.vocabulary, arguments.minutes)
    races = json.loads(path.read_text())["races"] if path.is_file() else {}
    if title not in races:
        parser.error(f"{path} has no race with a {title}; run race.py with the same options first")
    tuned = {name: Setting(**found["setting"]) for name, found in races[title]["tuned"].items()}
    data = (*corpus(arguments), f"data.block_size={BLOCK}", f"tokenizer.vocabulary_size={arguments.vocabulary}")
    own = {key: getattr(arguments, key) for key in ("seeds", "counts", "repeat", "jobs")}
    race = Race(data, arguments.folder / str(arguments.vocabulary), [*tuned], **own)
    folder = arguments.folder / f"downstream-{arguments.vocabulary}-{arguments.minutes:g}-counts-{arguments.counts}"
    tasks = {name: shlex.split(settings) for name in TASKS if (settings := getattr(arguments, name))}
    values: dict[str, dict[str, dict[int, float]]] = {name: {} for name in tasks}
    metrics = {}
    for name in arguments.contestants or ["ours", *tuned]:
        models = encoders(race, name, tuned.get(name), arguments.minutes)
        for task, settings in tasks.items():
            rate = best_rate(folder / f"{name}-{task}", models, settings)
            for seed, model in models.items():
                part = folder / f"{name}-{task}" / f"lr{rate:g}-seed{seed}"
                found = fine_tune(part, model, settings, rate, seed)
                metrics[task] = objective(part)
                values[task].setdefault(name, {})[seed] = found[metrics[task]]

            def figures() -> Study:
                own: dict[Metric, Values] = {
                    Metric(f"{task} {metrics[task].removeprefix('test/')}"): values[task]
                    for task in tasks
                    if values[task]
                }
                return Study(f"Fine-tuned after {arguments.minutes:g} minutes", "ours", own)

            write_report(folder, figures)
    print((folder / "study.md").read_text())


def encoders(race: Race, name: str, setting: Setting | None, minutes: float) -> dict[int, Path]:
    """Returns the models of a contestant after so many minutes, by seed; those that are not there are trained."""
    named = [
        race.ours(minutes, seed) if setting is None else race.peer(name, setting, minutes, seed)
        for seed in race.seeds
    ]
    race.curves(named, with_models=True)
    return {spec.seed: Path(str(spec.save)) for _, spec in named}


def best_rate(folder: Path, models: dict[int, Path], settings: list[str]) -> float:
    """Returns the learning rate with the best metric of the validation split, for the first of the seeds."""
    seed, model = next(iter(models.items()))

    def losses(rates: list[Rate]) -> list[float]:
        found = []
        for rate in rates:
            part = folder / f"lr{rate.lr:g}-seed{seed}"
            metrics = fine_tune(part, model, settings, rate.lr, seed)
            found.append(-metrics[objective(part).replace("test/", "validation/")])
        return found

    return ranked(search([Rate(2e-3)], {"lr": DOUBLED}, losses))[0].lr


def fine_tune(folder: Path, model: Path, settings: list[str], rate: float, seed: int) -> dict[str, float]:
    """Returns the metrics of a fine-tuning; see `studies.run`."""
    run(folder, [*settings, f"init_from='{model}'", f"optimizer.lr={rate:g}", f"seed={seed}"])
    metrics = finished(folder)
    assert metrics is not None
    return metrics


if __name__ == "__main__":
    main()
