"""The figures of a race: tables and a picture."""

import itertools
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curves import loss_at, reached

COLOURS = {"bert": "tab:red", "modernbert": "tab:orange", "modernbert-muon": "tab:green", "ours": "tab:blue"}
BLOCK = 128


def report(race: dict[str, Any]) -> dict[str, Any]:
    """Returns the figures of one race: its contestants, each peer beside ours, and how the peers were tuned."""
    names = dict.fromkeys(lane["name"] for lane in race["lanes"])
    by_name = {name: [lane for lane in race["lanes"] if lane["name"] == name] for name in names}
    return {
        "contestants": [_contestant(name, lanes) for name, lanes in by_name.items()],
        "beside": {name: _beside(lanes, by_name["ours"]) for name, lanes in by_name.items() if name != "ours"},
        "tuned": {
            name: {
                "best": tuned["best"].name,
                "setting": asdict(tuned["best"]),
                **{
                    kind: {s.name: round(loss, 4) for s, loss in tuned[kind].items()} for kind in ("short", "whole")
                },
                "border": tuned["border"],
            }
            for name, tuned in race["tuned"].items()
        },
    }


def _contestant(name: str, lanes: list[dict[str, Any]]) -> dict[str, Any]:
    first, end = lanes[0], lanes[0]["points"][-1]
    setting = {
        key: first[key]
        for key in ("lr", "adamw_lr", "rows", "mask_ratio", "weight_decay", "beta2")
        if first.get(key) is not None
    }
    return {
        "name": name,
        "parameters": first["parameters"],
        **setting,
        "milliseconds of a step": round(first["seconds"] * 1000),
        "steps": end["step"],
        "seconds": round(_seconds(first, end["step"])),
        "minutes on the clock": round(end["clock"] / 60, 1),
        "loss, by seed": [round(lane["points"][-1]["loss"], 4) for lane in lanes],
    }


def _beside(peers: list[dict[str, Any]], ours: list[dict[str, Any]]) -> dict[str, Any]:
    """How much sooner each seed of ours reaches the final loss of each seed of a peer."""
    theirs = _seconds(peers[0], peers[0]["points"][-1]["step"])
    losses = [lane["points"][-1]["loss"] for lane in peers]
    mean = statistics.mean(losses)
    times = [_seconds(lane, reached(lane["points"], mean)) for lane in ours]
    ratios = [
        theirs / _seconds(lane, reached(lane["points"], loss)) for lane, loss in itertools.product(ours, losses)
    ]
    our_end = _seconds(ours[0], ours[0]["points"][-1]["step"])
    steps = (our_end - peers[0].get("counting", 0.0)) / peers[0]["seconds"]
    return {
        "its mean loss": round(mean, 4),
        "its seconds": round(theirs),
        "our seconds, by seed": [round(seconds, 1) for seconds in times],
        "times sooner": round(theirs / statistics.median(times), 2),
        "times sooner, pairs of seeds": [round(min(ratios), 2), round(max(ratios), 2)],
        "its mean loss in our time": round(statistics.mean(loss_at(lane["points"], steps) for lane in peers), 4),
    }


def _seconds(lane: dict[str, Any], steps: float) -> float:
    """Returns the seconds until after so many steps, those of counting before the first one included."""
    return lane.get("counting", 0.0) + steps * lane["seconds"]


def table(races: dict[str, dict[str, Any]]) -> str:
    """Returns the figures as Markdown."""
    lines = []
    for title, figures in races.items():
        lines += [f"{title[0].upper()}{title[1:]}:", ""]
        lines += [
            "| | parameters | setting | ms a step | steps | seconds | loss, by seed |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in figures["contestants"]:
            setting = ", ".join(
                f"{label} {row[key]:g}"
                for key, label in (
                    *(("lr", "rate"), ("adamw_lr", "AdamW"), ("rows", "blocks"), ("mask_ratio", "masked")),
                    *(("weight_decay", "decay"), ("beta2", "beta2")),
                )
                if key in row
            )
            losses = ", ".join(f"{loss:.3f}" for loss in row["loss, by seed"])
            lines.append(
                f"| `{row['name']}` | {row['parameters']:,} | {setting} | {row['milliseconds of a step']} "
                f"| {row['steps']:,} | {row['seconds']} | {losses} |"
            )
        lines += ["", "| peer | its loss | its seconds | our seconds | times sooner | its loss in our time |"]
        lines += ["|---|---|---|---|---|---|"]
        for name, row in figures["beside"].items():
            seconds = ", ".join(str(found) for found in row["our seconds, by seed"])
            low, high = row["times sooner, pairs of seeds"]
            lines.append(
                f"| `{name}` | {row['its mean loss']} | {row['its seconds']} | {seconds} "
                f"| {row['times sooner']} ({low} to {high}) | {row['its mean loss in our time']} |"
            )
        lines += ["", "How the peers were tuned, with the loss after the shorter runs, and after whole ones:", ""]
        for name, tuned in figures["tuned"].items():
            lines += [f"- `{name}`: {_losses(tuned['short'])}; whole: {_losses(tuned['whole'])}"]
        lines.append("")
    return "\n".join(lines)


def _losses(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {loss}" for name, loss in sorted(found.items(), key=lambda one: one[1]))


def draw(races: dict[str, dict[str, Any]], path: Path) -> None:
    """Draws loss over seconds and over tokens, one row for each race."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6 * len(races)), layout="constrained")
    panels = figure.subplots(len(races), 2, squeeze=False, sharey="row")
    for (title, race), (by_time, by_tokens) in zip(races.items(), panels, strict=True):
        for lane in race["lanes"]:
            steps, losses = zip(*((point["step"], point["loss"]) for point in lane["points"]), strict=True)
            label = lane["name"] if lane["seed"] == race["lanes"][0]["seed"] else None
            style = {"color": COLOURS[lane["name"]], "alpha": 0.6, "label": label}
            by_time.plot([_seconds(lane, step) for step in steps], losses, **style)
            by_tokens.plot([step * lane["rows"] * BLOCK / 1e6 for step in steps], losses, **style)
        by_time.set(xlabel="seconds (steps x median of a step)", ylabel="validation loss", title=title)
        by_tokens.set(xlabel="million tokens")
        by_time.legend()
        for panel in (by_time, by_tokens):
            panel.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
