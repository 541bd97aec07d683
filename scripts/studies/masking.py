"""Compares masks: each pretrains the same model on the same tokens, which is then fine-tuned.

    python scripts/studies/masking.py pretraining="data=wikipedia model/size=mini"
    python scripts/studies/masking.py arm=span,entity seed=1,2,3 folder=logs/studies/mine
    python scripts/studies/masking.py hydra.mode=RUN arm=span seed=1          # one part of it

See `conf/study_masking.yaml` for the arms, the budget and the fine-tuning tasks, and `studies.py` for how parts are
run and resumed. All runs are evaluated with the same masks at a ratio of 0.15, whatever they were trained with, and
under each of `evaluation_masks`, which makes the loss matrix (docs/evaluation.md); parts that finished without it
get it when the command is repeated.
"""

import itertools
import json
import math
import shlex
import shutil
from pathlib import Path
from typing import Any

from figures import Metric, Study, Values
from omegaconf import DictConfig, OmegaConf
from outcomes import over_seeds_and_texts, right
from studies import (
    call,
    check_settings,
    collect,
    finished,
    for_minutes,
    keep_settings,
    objective,
    parts,
    run,
    settings_of,
    write_report,
)

from maskwright.cli import Invocation, command
from maskwright.core.errors import UserError

PROSE = ("pretraining", "finetuning.", "arms.")


@command("study_masking", prose=PROSE)
def main(cfg: DictConfig, _: Invocation) -> None:
    part_of_study(cfg)


def part_of_study(cfg: DictConfig) -> None:
    """Runs one part of a study of pretraining, and writes the report of all that have finished.

    Raises:
        UserError: settings are refused, or differ from those of the finished parts.
        RuntimeError: a run has failed.
    """
    study: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    folder, seed = Path(study["folder"]).expanduser().resolve(), f"seed={study['seed']}"
    part = folder / f"{study['arm']}-{study['seed']}"
    common = {key: study[key] for key in ("pretraining", "steps", "minutes")}
    finetuning = {name: settings for name, settings in study["finetuning"].items() if settings is not None}
    check_settings(folder, common | {f"finetuning.{name}": settings for name, settings in finetuning.items()})
    pretraining = [
        *shlex.split(study["pretraining"]),
        *budget(study),
        *settings_of(study["arms"], study["arm"]),
        seed,
    ]
    if finished(part / "pretraining") is None:
        shutil.rmtree(part / "matrix", ignore_errors=True)  # of another run, which is no longer there
    run(part / "pretraining", pretraining)
    keep_settings(folder, common)
    masks, ratios = (study[key] or [] for key in ("evaluation_masks", "evaluation_ratios"))
    if any(f"{mask} {ratio:g}/loss" not in matrix(part) for mask, ratio in itertools.product(masks, ratios)):
        hardware = [own for own in shlex.split(study["pretraining"]) if own.startswith(("hardware", "preparation"))]
        evaluate_under(part, [f"masks={','.join(masks)}", f"ratios={','.join(map(str, ratios))}", *hardware])
    for name, settings in finetuning.items():
        run(part / name, [*shlex.split(settings), f"init_from='{part / 'pretraining'}'", seed])
        keep_settings(folder, {f"finetuning.{name}": settings})

    def figures() -> Study:
        loss = Metric("MLM loss at 0.15", percent=False, margin=study["loss_margin"])
        found, outcomes = {loss: token_losses(folder)}, {}
        for mask, ratio in itertools.product(masks, ratios):
            title = f"loss under {mask} {ratio:g}"
            found[Metric(title, percent=False, main=False)] = of_matrix(folder, f"{mask} {ratio:g}/loss")
        for name in finetuning:
            key = objective(part / name).removeprefix("test/")
            margin = study["loss_margin"] if key == "loss" else study["margin"]
            metric = Metric(f"{name} {key}", percent=key != "loss", margin=margin)
            found[metric] = collect(folder, name)
            if key == "accuracy":
                outcomes[metric.title] = {
                    arm: {seed: right(folder / f"{arm}-{seed}" / name) for seed in seeds}
                    for arm, seeds in found[metric].items()
                }
        baseline = study["baseline"]
        return Study(study["title"], baseline, found, over_seeds_and_texts(outcomes, baseline))

    write_report(folder, figures)


def evaluate_under(part: Path, settings: list[str]) -> None:
    """Evaluates the pretrained model of a part under several masks.

    Raises:
        RuntimeError: the evaluation has failed.
    """
    folder = part / "matrix"
    job = call(folder, "evaluate.py", [f"run={part / 'pretraining'}", f"output={folder}", *settings])
    if job.status:
        raise RuntimeError(f"{folder} failed with status {job.status}: {job.error()}")


def token_losses(folder: Path) -> Values:
    """Returns the test loss of masked tokens, by arm and seed, where the encoder has learned to predict them."""
    perplexity = collect(folder, "pretraining", "test/perplexity")
    return {arm: {seed: math.log(value) for seed, value in seeds.items()} for arm, seeds in perplexity.items()}


def matrix(part: Path) -> dict[str, float]:
    """Returns the metrics of a part under several masks; empty if there are none."""
    path = part / "matrix" / "matrix.json"
    return json.loads(path.read_text())["rows"][0]["metrics"] if path.is_file() else {}


def of_matrix(folder: Path, metric: str) -> Values:
    """Returns a metric of the loss matrix, by arm and seed."""
    found: Values = {}
    for arm, seeds in parts(folder).items():
        for seed, part in seeds.items():
            if metric in (metrics := matrix(part)):
                found.setdefault(arm, {})[seed] = metrics[metric]
    return found


def budget(study: dict[str, Any]) -> list[str]:
    """Returns the settings that limit pretraining.

    Raises:
        UserError: not exactly one of `steps` and `minutes` is set.
    """
    steps, minutes = study["steps"], study["minutes"]
    if (steps is None) == (minutes is None):
        raise UserError(f"steps={steps} and minutes={minutes}: set one of them, and the other to null.")
    if minutes is None:
        return [f"trainer.max_steps={steps}"]
    return for_minutes(minutes)


if __name__ == "__main__":
    main()
