"""What each part of the fast recipe is worth: `experiment=fast_mini` with one thing changed at a time.

    python scripts/study_speed.py --source ../shared/data/wikimedia/wikipedia

As in `race.py`, time is the number of steps times the median time of a step, taken in turns with the recipe's
own. A change's gain is how much sooner it reaches the loss at which the shorter of both runs ends, or how many
times as long it takes. Every curve is a JSON file in the folder, and is not run again while it is there.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from contestants import ROOT, Spec, add_corpus, corpus
from race import OUR_ROWS, curve, in_turns, marks, reached

_VARIANT = "model._target_=speed_variants.Variant"


def patch(what: str, until: float = 0.3) -> tuple[str, ...]:
    return (f"+callbacks.patch={{_target_: speed_variants.Patch, what: {what}, until: {until}}}",)


CHANGES: dict[str, tuple[str, ...]] = {
    # parts of the recipe, taken away
    "no convolution of the embeddings": ("model.convolution=0",),
    "no query-key norm": ("model.query_key_norm=false",),
    "no value residuals": ("model.value_residual=false",),
    "ModernBERT's mathematics": (
        "model.convolution=0",
        "model.query_key_norm=false",
        "model.value_residual=false",
    ),
    "AdamW at 1e-3 instead of Muon": ("optimizer=adamw", "optimizer.lr=1e-3"),
    "AdamW at 4e-3 instead of Muon": ("optimizer=adamw", "optimizer.lr=4e-3"),
    "neither convolution nor Muon": ("model.convolution=0", "optimizer=adamw", "optimizer.lr=1e-3"),
    "mask ratio 0.15": ("mask.ratio=0.15",),
    "mask ratio falling from 0.3 to 0.15": ("mask/ratio=linear",),
    "linear decay": ("schedule=linear",),
    "linear cool-down": ("schedule.shape=linear",),
    "dropout 0.1": ("model.dropout=0.1",),
    "8 blocks a step": ("data.batch_size=8",),
    "32 blocks a step": ("data.batch_size=32",),
    "5 polynomials in Muon": ("optimizer.iterations=5",),
    "vocabulary of 30,522": ("tokenizer.vocabulary_size=30522",),
    "all positions projected": patch("all_positions"),
    "logits of all masked positions at once": patch("plain_loss"),
    "last layer at all positions": patch("whole_last_layer"),
    # additions
    "learning rates halved": ("optimizer.lr=2.5e-3", "optimizer.adamw_lr=2.5e-3"),
    "learning rates doubled": ("optimizer.lr=1e-2", "optimizer.adamw_lr=1e-2"),
    "convolution before each attention too": (_VARIANT, "+model.convolutions=2"),
    "convolution of reach 4": ("model.convolution=4",),
    "SwiGLU": (_VARIANT, "+model.activation=swiglu"),
    "squared ReLU": (_VARIANT, "+model.activation=relu2"),
    "U-net skips": (_VARIANT, "+model.skips=true"),
    "logit soft-cap 15": patch("softcap"),
    "embeddings times 4": (_VARIANT, "+model.embedding_scale=4"),
    "embeddings start at standard deviation 1": (_VARIANT, "+model.embedding_std=1"),
    "residual projections start at zero": (_VARIANT, "+model.zero_output=true"),
    "half of the tokens skip the middle layers": (_VARIANT, "+model.drop=0.5", "model.value_residual=false"),
    "half the blocks in the first 30 %": patch("rows"),
    "blocks of 64 in the first 30 %": patch("length"),
    "moving average of the weights": patch("average", 10),
    "frequent words first": ("data._target_=speed_variants.EasyFirst",),
}
# changes that leave the loss as it is: only their steps are timed
SAME_LOSS: dict[str, dict[str, Any]] = {
    "torch.compile": {"overrides": ("hardware.compile=true",)},
    "cores pinned": {"environment": ("GOMP_CPU_AFFINITY=0 1",)},
    "threads wait busily": {"environment": ("OMP_WAIT_POLICY=ACTIVE",)},
    "freed memory is kept": {
        "environment": ("MALLOC_TRIM_THRESHOLD_=4294967296", "MALLOC_MMAP_THRESHOLD_=4294967296")
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_corpus(parser)
    parser.add_argument("--folder", type=Path, default=ROOT / "logs" / "speed", help="where curves and table go")
    parser.add_argument("--steps", type=int, default=200, help="steps of the recipe's own run")
    parser.add_argument("--repeat", type=int, default=9, help="steps of each that are timed")
    parser.add_argument("--only", nargs="*", choices=[*CHANGES, *SAME_LOSS], help="only these changes")
    arguments = parser.parse_args()
    recipe = Spec("ours", corpus(arguments), arguments.steps, rows=0, experiment="fast_mini")
    recipe = dataclasses.replace(recipe, evaluate_at=marks(recipe.steps, 10))
    whole = curve(recipe, arguments.folder / "recipe")
    rows = []
    for name in arguments.only or [*CHANGES, *SAME_LOSS]:
        folder = arguments.folder / "".join(c if c.isalnum() else "_" for c in name)
        changed = dataclasses.replace(
            recipe, **({"overrides": CHANGES[name]} if name in CHANGES else SAME_LOSS[name])
        )
        row: dict[str, Any] = {"change": name, **speed(recipe, changed, folder, arguments.repeat)}
        if name in CHANGES:
            steps = round(recipe.steps * row["rows"][0] / row["rows"][1])  # of as many tokens
            changed = dataclasses.replace(changed, steps=steps, evaluate_at=marks(steps, 10))
            row |= gain(whole, curve(changed, folder), *row["seconds"])
        rows.append(row)
        print(json.dumps(row), flush=True)
    (arguments.folder / "speed.json").write_text(json.dumps(rows, indent=1))
    (arguments.folder / "speed.md").write_text(table(rows))
    print(table(rows))


def speed(recipe: Spec, changed: Spec, folder: Path, repeat: int) -> dict[str, Any]:
    """Medians of the seconds of a step of both, in turns, and how many more tokens a second the change brings."""
    path = folder / "time.json"
    if not path.exists():
        specs = {"recipe": recipe, "changed": changed}
        seconds, laps = in_turns(specs, repeat)
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"seconds": list(seconds.values()), "laps": laps}))
    seconds = json.loads(path.read_text())["seconds"]
    sizes = [
        next((int(o.split("=")[1]) for o in s.overrides if "batch_size" in o), OUR_ROWS) for s in (recipe, changed)
    ]
    return {
        "seconds": seconds,
        "rows": sizes,
        "tokens per second": round(sizes[1] / seconds[1] / (sizes[0] / seconds[0]), 3),
    }


def gain(recipe: dict[str, Any], changed: dict[str, Any], seconds: float, changed_seconds: float) -> dict[str, Any]:
    """How many times sooner the changed run reaches the loss at which the worse of both ends."""
    ends = [found["points"][-1]["loss"] for found in (recipe, changed)]
    loss = max(ends)
    times = [reached(recipe["points"], loss) * seconds, reached(changed["points"], loss) * changed_seconds]
    return {"ends": ends, "time to loss": round(times[0] / times[1], 3)}


def table(rows: list[dict[str, Any]]) -> str:
    """The figures as Markdown."""
    lines = [
        "| change | loss at the end | times sooner at the same loss | times the tokens a second |",
        "|---|---|---|---|",
    ]
    for row in rows:
        end = f"{row['ends'][1]:.3f}" if "ends" in row else "the same"
        lines.append(f"| {row['change']} | {end} | {row.get('time to loss', '')} | {row['tokens per second']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
