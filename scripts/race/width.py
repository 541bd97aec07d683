"""Measures how the best learning rates of the fast recipe move with the width of the model.

    python scripts/race/width.py --source ../shared/data/wikimedia/wikipedia --jobs 2

Trains `experiment=fast_mini` with each of the `--sizes` for `--steps`, and looks for the rates of Muon and of AdamW
with the lowest validation loss: both are halved and doubled, one at a time, until the best has worse ones on both
sides. Writes width.json and width.md. Every curve is a JSON file of its own and is not computed again.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

from contestants import ROOT, Spec, add_corpus, config_of, corpus
from curves import curves, marks
from tuning import DOUBLED, ranked, search

from maskwright.core.device import device_name


@dataclasses.dataclass(frozen=True)
class Rates:
    """What is tuned: the learning rates of Muon and of AdamW."""

    lr: float
    adamw_lr: float

    @property
    def name(self) -> str:
        return f"lr{self.lr:g}-adamw_lr{self.adamw_lr:g}"


RECIPE = Rates(lr=5e-3, adamw_lr=2e-3)  # of experiment=fast_mini


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_corpus(parser)
    parser.add_argument("--folder", type=Path, default=ROOT / "logs" / "width", help="where curves and table go")
    parser.add_argument("--sizes", nargs="*", default=["tiny", "mini", "small"], help="of conf/model/size")
    parser.add_argument(
        "--overrides", nargs="*", default=[], help="of the recipe itself: tokenizer.vocabulary_size=8192"
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, help="rates that are tried at most for each size")
    parser.add_argument("--jobs", type=int, default=1, help="curves computed at a time, each on one thread")
    arguments = parser.parse_args()
    found = {}
    for size in arguments.sizes:
        losses = tune(size, arguments)
        shape = config_of(Spec("ours", (f"model/size={size}",), 1), "run_dir=none").model
        found[size] = {
            "hidden_size": shape.hidden_size,
            "layers": shape.layers,
            "losses": {rates.name: round(loss, 4) for rates, loss in losses.items()},
            "best": dataclasses.asdict(ranked(losses)[0]),
        }
        made: dict[str, Any] = {"device": device_name("cpu"), "date": time.strftime("%Y-%m-%d")}
        made |= {"steps": arguments.steps, "seed": arguments.seed, "sizes": found}
        (arguments.folder / "width.json").write_text(json.dumps(made, indent=1))
        (arguments.folder / "width.md").write_text(table(found))
    print(table(found))


def tune(size: str, arguments: argparse.Namespace) -> dict[Rates, float]:
    """Returns the last validation losses of a size with all rates that were tried, see `search`."""
    recipe = Spec("ours", corpus(arguments), arguments.steps, rows=0, experiment="fast_mini", seed=arguments.seed)

    def losses(tried: list[Rates]) -> list[float]:
        specs = [
            dataclasses.replace(
                recipe,
                overrides=(
                    *arguments.overrides,
                    f"model/size={size}",
                    f"optimizer.lr={rates.lr}",
                    f"optimizer.adamw_lr={rates.adamw_lr}",
                ),
                evaluate_at=marks(recipe.steps, 4),
            )
            for rates in tried
        ]
        names = [rates.name for rates in tried]
        done = curves(specs, names, [arguments.folder / size] * len(specs), arguments.jobs)
        return [curve["points"][-1]["loss"] for curve in done]

    return search([RECIPE], {"lr": DOUBLED, "adamw_lr": DOUBLED}, losses, arguments.most)


def table(found: dict[str, dict[str, Any]]) -> str:
    """Returns the figures as Markdown."""
    lines = [
        "| size | width | layers | best rate of Muon | best rate of AdamW | loss with them | with the recipe's |",
        "|---|---|---|---|---|---|---|",
    ]
    for size, row in found.items():
        best, losses = Rates(**row["best"]), row["losses"]
        lines.append(
            f"| {size} | {row['hidden_size']} | {row['layers']} | {best.lr:g} | {best.adamw_lr:g} "
            f"| {losses[best.name]} | {losses[RECIPE.name]} |"
        )
    lines += ["", "All that were tried, by size, the best first:", ""]
    for size, row in found.items():
        tried = ", ".join(f"{name} {loss}" for name, loss in sorted(row["losses"].items(), key=lambda one: one[1]))
        lines.append(f"- {size}: {tried}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
