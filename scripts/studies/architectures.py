"""Compares models on the same corpus, each trained for the same time: from counts to the transformer.

    python scripts/studies/architectures.py
    python scripts/studies/architectures.py --minutes 1 --models ngram hmm lstm --overrides data.limit=40

Each network is trained with several factors on the learning rates of `optimizer=muon`, and the hidden Markov model
with several numbers of states, on one seed; the grid is extended while the best value, by validation loss, is at an
end of it. The test loss of the best one counts. A run that has finished is not made again. Writes
architectures.json and architectures.md into the folder.
"""

import argparse
import json
import platform
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from studies import ROOT, for_minutes, run

from maskwright.core.atomic import write_file

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
    found: dict[str, Any] = {}
    for name in arguments.models:
        found[name] = search(name, arguments)
        write(arguments.folder, found)
    print((arguments.folder / "architectures.md").read_text())


def search(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the metrics of a model at its best value, with the validation loss at each."""
    keys = MODELS[name]
    defaults = values_of(name, keys)
    found: dict[int, dict[str, float]] = {}  # metrics by power of two

    def loss(power: int) -> float:
        return found[power]["validation/loss"]

    wanted = [0, -1, 1] if keys else [0]
    while wanted:
        power = wanted.pop(0)
        own = {key: scaled(value, power) for key, value in defaults.items()}
        settings = [f"seed={arguments.seed}", *for_minutes(arguments.minutes)]
        settings += [f"{key}={value}" for key, value in own.items()]
        folder = arguments.folder / "-".join([name, *map(str, own.values())])
        found[power] = run(folder, [f"model={name}", *settings, *arguments.overrides])
        best = min(found, key=loss)
        if not wanted and keys:  # beyond the end at which the best one is
            beyond = (best - 1, best + 1)
            wanted = [power for power in beyond if power not in found and abs(power) <= arguments.farthest]
    return {
        "settings": {key: scaled(value, best) for key, value in defaults.items()},
        "tried": [{**{k: scaled(v, p) for k, v in defaults.items()}, "validation/loss": loss(p)} for p in found],
        "metrics": found[best],
    }


def values_of(name: str, keys: tuple[str, ...]) -> dict[str, float]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [f"model={name}"])
    return {key: config[key.split(".")[0]][key.split(".")[1]] for key in keys}


def scaled(value: float, power: int) -> float:
    """Returns a value times a power of two; a whole number stays one."""
    return round(value * 2.0**power) if isinstance(value, int) else float(f"{value * 2.0**power:.3g}")


def write(folder: Path, found: dict[str, Any]) -> None:
    """Writes what has been found so far."""
    first = next(iter(sorted(folder.glob("*/summary.json"))))
    unigram = json.loads(first.read_text())["baseline"]
    lines = ["| model | test loss (nats) | masked accuracy | |", "|---|---|---|---|"]
    lines.append(f"| unigram | {unigram:.3f} | | entropy of the training tokens |")
    for name, own in found.items():
        settings = ", ".join(f"`{key}={value:g}`" for key, value in own["settings"].items())
        loss, accuracy = own["metrics"]["test/loss"], own["metrics"]["test/accuracy"]
        lines.append(f"| `{name}` | {loss:.3f} | {100 * accuracy:.1f} % | {settings} |")
    text = "\n".join(lines) + "\n"
    content = json.dumps({"device": platform.processor() or platform.machine(), "models": found}, indent=1) + "\n"
    write_file(folder / "architectures.md", lambda path: path.write_text(text, encoding="utf-8"))
    write_file(folder / "architectures.json", lambda path: path.write_text(content, encoding="utf-8"))


if __name__ == "__main__":
    main()
