"""Compares models on the same corpus, each trained for the same time: from counts to the transformer.

    python scripts/studies/architectures.py
    python scripts/studies/architectures.py --minutes 1 --models ngram hmm lstm --overrides data.limit=40
    OMP_NUM_THREADS=1 python scripts/studies/architectures.py --models mlp cnn  # beside one of others

Each network is trained with several factors on the learning rates of `optimizer=muon`, and the hidden Markov model
with several numbers of states, on one seed; the grid is extended while the best value, by validation loss, is at an
end of it. The test loss of the best one counts. A run that fails, as when its loss is no longer finite, counts as
the worst. A run that has finished is not made again. Writes architectures.json and architectures.md into the
folder, from all runs there that have finished: processes with different `--models` can share one.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from filelock import FileLock
from hydra import compose, initialize_config_dir
from studies import ROOT, check_settings, finished, for_minutes, keep_settings, run

from maskwright.core.atomic import write_file
from maskwright.core.device import device_name
from maskwright.core.errors import UserError, ends_with_an_error
from maskwright.optim import ADAMW_LR

# the options of `model`, and the keys whose values are multiplied by powers of two
_RATES = ("optimizer.lr", "optimizer.adamw_lr")
MODELS: dict[str, tuple[str, ...]] = {
    "ngram": (),
    "hmm": ("model.states",),
    **dict.fromkeys(("mlp", "cnn", "lstm", "transformer"), _RATES),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--minutes", type=float, default=3, help="of training, for each run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--farthest", type=int, default=4, help="how often a value is doubled or halved at most")
    parser.add_argument("--folder", type=Path, default=ROOT / "logs" / "studies" / "architectures")
    parser.add_argument("--overrides", nargs="*", default=[], help="of all runs: data.source=…")
    arguments = parser.parse_args()
    with ends_with_an_error():
        for name in arguments.models:
            search(name, arguments)
            write(arguments.folder)
        if missing := [name for name in arguments.models if found_in(arguments.folder, name) is None]:
            raise UserError(
                f"No run of {', '.join(missing)} in {arguments.folder} has finished with a finite loss."
            )
    print((arguments.folder / "architectures.md").read_text(encoding="utf-8"))


def search(name: str, arguments: argparse.Namespace) -> None:
    """Runs a model with all values of its grid.

    Raises:
        UserError: its settings are refused, or the folder holds runs with others.
    """
    keys, folder = MODELS[name], arguments.folder
    shared = {key: getattr(arguments, key) for key in ("minutes", "seed", "overrides")}
    defaults = values_of(name, keys)
    losses: dict[int, float] = {}  # by power of two
    wanted = [0, -1, 1] if keys else [0]
    while wanted:
        power = wanted.pop(0)
        own = {key: scaled(value, power) for key, value in defaults.items()}
        settings = [f"seed={arguments.seed}", *for_minutes(arguments.minutes)]
        settings += [f"{key}={value}" for key, value in own.items()]
        check_settings(folder, shared)
        try:
            metrics = run(
                folder / "-".join([name, *map(str, own.values())]),
                [f"model={name}", *settings, *arguments.overrides],
            )
            keep_settings(folder, shared)
            loss = metrics["validation/loss"]
        except RuntimeError as error:
            print(error, file=sys.stderr, flush=True)
            loss = math.inf
        losses[power] = loss if math.isfinite(loss) else math.inf
        best = min(losses, key=losses.__getitem__)
        if not wanted and keys:  # beyond the end at which the best one is
            beyond = (best - 1, best + 1)
            wanted = [power for power in beyond if power not in losses and abs(power) <= arguments.farthest]


def values_of(name: str, keys: tuple[str, ...]) -> dict[str, float]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [f"model={name}"])
    if config.optimizer.get("adamw_lr", 0) is None:
        config.optimizer.adamw_lr = ADAMW_LR[config.model.get("initial_embeddings", "random")]
    return {key: config[key.split(".")[0]][key.split(".")[1]] for key in keys}


def scaled(value: float, power: int) -> float:
    """Returns a value times a power of two; a whole number stays one."""
    return round(value * 2.0**power) if isinstance(value, int) else float(f"{value * 2.0**power:.3g}")


def found_in(folder: Path, name: str) -> dict[str, Any] | None:
    """Returns the metrics of a model at its best value, and the validation loss at each; None if no run has one."""
    tried = []
    for path in sorted(folder.glob(f"{name}*/settings.json")):
        given = [own.partition("=") for own in json.loads(path.read_text())]
        if (metrics := finished(path.parent)) is not None and math.isfinite(metrics["validation/loss"]):
            tried.append(({key: json.loads(value) for key, _, value in given if key in MODELS[name]}, metrics))
    if not tried:
        return None
    tried.sort(key=lambda one: [*one[0].values()])
    settings, metrics = min(tried, key=lambda one: one[1]["validation/loss"])
    losses = [{**own, "validation/loss": of["validation/loss"]} for own, of in tried]
    return {"settings": settings, "tried": losses, "metrics": metrics}


def write(folder: Path) -> None:
    """Writes what all runs in the folder have found so far, which may be those of several processes."""
    with FileLock(folder / ".report.lock"):
        found = {name: own for name in MODELS if (own := found_in(folder, name)) is not None}
        if not found:
            return
        summaries = (json.loads(path.read_text()) for path in sorted(folder.glob("*/summary.json")))
        unigram = next(summary["baseline"] for summary in summaries if summary["status"] == "completed")
        lines = ["| model | test loss (nats) | masked accuracy | |", "|---|---|---|---|"]
        lines.append(f"| unigram | {unigram:.3f} | | entropy of the training tokens |")
        for name, own in found.items():
            settings = ", ".join(f"`{key}={value:g}`" for key, value in own["settings"].items())
            loss, accuracy = own["metrics"]["test/loss"], own["metrics"]["test/accuracy"]
            lines.append(f"| `{name}` | {loss:.3f} | {100 * accuracy:.1f} % | {settings} |")
        text = "\n".join(lines) + "\n"
        content = json.dumps({"device": device_name("cpu"), "models": found}, indent=1)
        write_file(folder / "architectures.md", lambda path: path.write_text(text, encoding="utf-8"))
        write_file(folder / "architectures.json", lambda path: path.write_text(content + "\n", encoding="utf-8"))


if __name__ == "__main__":
    main()
