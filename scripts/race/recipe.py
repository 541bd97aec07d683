"""Measures the effect of each part of the fast recipe: `experiment=fast_mini` with one thing changed at a time.

    python scripts/race/recipe.py --source ../shared/data/wikimedia/wikipedia

As in `race.py`, time is the number of steps times the median time of a step, measured in turns with the steps of
the recipe. The gain of a change is how much sooner it reaches the final loss of the worse of both runs, or how much
longer it takes. Every curve is a JSON file in the folder, and is not run again while that exists. As curves do not
depend on the clock, `--jobs 2` computes two at a time, each on one thread, after all timings.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from contestants import ROOT, Spec, add_corpus, corpus
from curves import curves, in_turns, marks, reached
from race import OUR_ROWS

_VARIANT = "model._target_=variants.Variant"
_MODERNBERT = ("model.bigrams=0", "model.convolution=0", "model.query_key_norm=false", "model.value_residual=false")


def patch(what: str, until: float = 0.3) -> tuple[str, ...]:
    return (f"+callbacks.patch={{_target_: variants.Patch, what: {what}, until: {until}}}",)


def muon(what: str) -> tuple[str, ...]:
    return (f"+callbacks.patch={{_target_: muons.MuonPatch, what: {what}}}",)


def hybrid(phases: str) -> tuple[str, ...]:
    return ("task=hybrid", "task.shift=false", f"task.phases={phases}")


# these change the loss, and may change the time of a step
CHANGES: dict[str, tuple[str, ...]] = {
    # parts of the recipe, taken away
    "no counts in the logits": ("model.bigrams=0",),
    "embeddings begin at random": ("model.initial_embeddings=random",),
    "no convolution of the embeddings": ("model.convolution=0",),
    "no query-key norm": ("model.query_key_norm=false",),
    "no value residuals": ("model.value_residual=false",),
    "ModernBERT's mathematics": _MODERNBERT,
    "AdamW at 1e-3 instead of Muon": ("optimizer=adamw", "optimizer.lr=1e-3"),
    "AdamW at 4e-3 instead of Muon": ("optimizer=adamw", "optimizer.lr=4e-3"),
    "ModernBERT's mathematics, AdamW at 1e-3": (*_MODERNBERT, "optimizer=adamw", "optimizer.lr=1e-3"),
    "mask ratio 0.15": ("mask.ratio=0.15",),
    "mask ratio falling from 0.3 to 0.15": ("mask/ratio=linear",),
    "dropout 0.1": ("model.dropout=0.1",),
    "8 blocks a step": ("data.batch_size=8",),
    "32 blocks a step": ("data.batch_size=32",),
    "5 polynomials in Muon": ("optimizer.ns_steps=5",),
    # additions
    "convolution before each attention too": (_VARIANT, "+model.convolutions=2"),
    "convolution of reach 4": ("model.convolution=4",),
    "SwiGLU": (_VARIANT, "+model.activation=swiglu"),
    "squared ReLU": (_VARIANT, "+model.activation=relu2"),
    "U-net skips": (_VARIANT, "+model.skips=true"),
    "logit soft-cap 15": patch("softcap"),
    "half of the tokens skip the middle layers": (_VARIANT, "+model.drop=0.5", "model.value_residual=false"),
    "half the blocks in the first 30 %": patch("rows"),
    "blocks of 64 in the first 30 %": patch("length"),
    "2 of 4 layers in the first 30 %": (_VARIANT, *patch("layers")),
    "moving average of the weights": patch("average", 10),
    "Muon whitens by triangles (MUD)": muon("triangles"),
    "Muon with rows of equal size (NorMuon)": muon("equal_rows"),
    "Muon orthogonalises every second time": muon("every_second"),
    "embedding stepped every second time": muon("slow_embedding"),
    "mask tokens in the last 2 of 4 layers": ("model.late_masks=2",),
    "mask tokens alone, in the last 2 of 4 layers": ("model.late_masks=2", "mask/corruption=mask_only"),
    "hashed pairs of neighbours": (_VARIANT, "+model.pairs=16384"),
    "heads share keys and values by two": (_VARIANT, "+model.groups=2"),
    "3 wider layers": ("model.layers=3", "model.hidden_size=288", "model.intermediate_size=856"),
    "causal prediction in the first 20 %": hybrid("[{objective:causal,until:0.2},{objective:mlm}]"),
    "causal prediction of half of the blocks": hybrid("null"),
}
# these only change the first steps: the share of these steps, and the tokens of such a step relative to a whole one
RAMPS = {
    "half the blocks in the first 30 %": (0.3, 0.5),
    "blocks of 64 in the first 30 %": (0.3, 1.0),
    "2 of 4 layers in the first 30 %": (0.3, 1.0),
    "causal prediction in the first 20 %": (0.2, 1.0),
}
# every second step of these takes longer
ALTERNATING = ("Muon orthogonalises every second time", "embedding stepped every second time")
# these change the loss, but not the time of a step
SAME_TIME: dict[str, tuple[str, ...]] = {
    "linear decay": ("schedule=linear",),
    "linear cool-down": ("schedule.shape=linear",),
    "learning rate of Muon halved": ("optimizer.lr=2.5e-3",),
    "learning rate of Muon doubled": ("optimizer.lr=1e-2",),
    "learning rate of AdamW a fourth": ("optimizer.adamw_lr=5e-4",),
    "learning rate of AdamW doubled": ("optimizer.adamw_lr=4e-3",),
    "embeddings times 4": (_VARIANT, "+model.embedding_scale=4"),
    "weights start at half the standard deviation": ("model.initial_std=0.01",),
    "residual projections start at zero": (_VARIANT, "+model.zero_output=true"),
    "frequent words first": ("data._target_=variants.EasyFirst",),
    "mask tokens alone": ("mask/corruption=mask_only",),
    "half of a head's channels turned": (_VARIANT, "+model.rotary_share=0.5"),
    "cool-down over 40 %": ("schedule.cooldown=0.4",),
    "cool-down over 60 %": ("schedule.cooldown=0.6",),
    "AdamW's beta2 0.95": ("optimizer.betas=[0.9,0.95]",),
    "Muon's momentum 0.9": ("optimizer.momentum=0.9",),
    "weight decay 0.1": ("optimizer.weight_decay=0.1",),
}
# these do not change the loss
SAME_LOSS: dict[str, dict[str, Any]] = {
    "all positions projected": {"overrides": patch("all_positions")},
    "logits of all masked positions at once": {"overrides": patch("plain_loss")},
    "last layer at all positions": {"overrides": patch("whole_last_layer")},
    "AdamW of separate operations": {"overrides": patch("not_fused")},
    "a product each for queries, keys and values": {"overrides": patch("three_products")},
    "oneDNN for the layers' products": {"overrides": patch("onednn")},
    "queries and keys turned by single operations": {"overrides": patch("plain_rotary")},
    "PyTorch's gradients of attention": {"overrides": patch("plain_attention")},
    "PyTorch's argmax of logits": {"overrides": patch("plain_argmax")},
    "bfloat16": {"overrides": ("hardware.precision=bf16-mixed",)},
    "torch.compile": {"overrides": ("hardware.compile=true",)},
    "denormals flushed": {"overrides": patch("flush_denormals")},
    "cores pinned": {"environment": ("GOMP_CPU_AFFINITY=0 1",)},
    "freed memory is kept": {
        "environment": ("MALLOC_TRIM_THRESHOLD_=4294967296", "MALLOC_MMAP_THRESHOLD_=4294967296")
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_corpus(parser)
    parser.add_argument("--folder", type=Path, default=ROOT / "logs" / "speed", help="where curves and table go")
    parser.add_argument("--overrides", nargs="*", default=[], help="of the recipe itself: model/size=tiny")
    parser.add_argument("--steps", type=int, default=200, help="steps of the recipe's own run")
    parser.add_argument("--repeat", type=int, default=9, help="steps of each that are timed")
    parser.add_argument("--jobs", type=int, default=1, help="curves computed at a time")
    parser.add_argument("--only", nargs="*", choices=[*CHANGES, *SAME_TIME, *SAME_LOSS], help="only these changes")
    arguments = parser.parse_args()
    recipe = Spec("ours", corpus(arguments), arguments.steps, rows=0, experiment="fast_mini")
    recipe = dataclasses.replace(recipe, overrides=tuple(arguments.overrides), evaluate_at=marks(recipe.steps, 10))
    rows: list[dict[str, Any]] = []
    runs = {"recipe": (recipe, arguments.folder / "recipe")}
    for name in arguments.only or [*CHANGES, *SAME_TIME, *SAME_LOSS]:
        folder = arguments.folder / "".join(c if c.isalnum() else "_" for c in name)
        overrides = (CHANGES | SAME_TIME).get(name)
        change = SAME_LOSS[name] if overrides is None else {"overrides": overrides}
        both = (*recipe.overrides, *change.get("overrides", ()))
        changed = dataclasses.replace(recipe, **change | {"overrides": both})
        row: dict[str, Any] = {"change": name, "seconds": None, "tokens per second": 1}
        if name not in SAME_TIME:
            period = 2 if name in ALTERNATING else 1
            row |= speed(recipe, changed, folder, arguments.repeat, period, *RAMPS.get(name, (1.0, 1.0)))
        rows.append(row)
        print(json.dumps(row), flush=True)
        if overrides is not None:
            steps = round(recipe.steps * OUR_ROWS / rows_of(changed))  # of as many tokens
            runs[name] = dataclasses.replace(changed, steps=steps, evaluate_at=marks(steps, 10)), folder
    specs, folders = map(list, zip(*runs.values(), strict=True))
    found = dict(zip(runs, curves(specs, ["ours"] * len(specs), folders, arguments.jobs), strict=True))
    for row in rows:
        if row["change"] in found:
            row |= gain(found["recipe"], found[row["change"]], row["seconds"])
    (arguments.folder / "speed.json").write_text(json.dumps(rows, indent=1))
    (arguments.folder / "speed.md").write_text(table(rows))
    print(table(rows))


def speed(
    recipe: Spec, changed: Spec, folder: Path, repeat: int, period: int, share: float, tokens: float
) -> dict[str, Any]:
    """Returns the seconds of a step of both, and the ratio of their tokens per second.

    Args:
        period: see `curves.typical`.
        share: the share of the steps, from the first on, that are changed; only such steps are timed.
        tokens: the tokens of such a step relative to those of the other steps.
    """
    both = {"recipe": recipe, "changed": changed}
    own, other = in_turns(both, folder / "time.json", repeat, period).values()
    other = share * other + (1 - share) * own
    rate = (share * tokens + 1 - share) * rows_of(changed) / other / (rows_of(recipe) / own)
    return {"seconds": [own, other], "tokens per second": round(rate, 3)}


def rows_of(spec: Spec) -> int:
    """Returns the number of blocks in a step."""
    return next((int(o.split("=")[1]) for o in spec.overrides if "batch_size" in o), OUR_ROWS)


def gain(recipe: dict[str, Any], changed: dict[str, Any], seconds: list[float] | None) -> dict[str, Any]:
    """Returns how many times sooner the changed run reaches the final loss of the worse of both runs.

    Args:
        seconds: those of a step of both, by which those of counting before the first step are added; None compares
            steps.
    """
    ends = [found["points"][-1]["loss"] for found in (recipe, changed)]
    loss = max(ends)
    times = [
        reached(found["points"], loss) * step + (found.get("counting", 0.0) if seconds else 0.0)
        for found, step in zip((recipe, changed), seconds or (1.0, 1.0), strict=True)
    ]
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
