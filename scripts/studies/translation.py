"""Studies whether a model translates better if tokens of the source are hidden in training, and how often it should
predict.

    python scripts/studies/translation.py training="experiment=multi30k data.source=~/multi30k" minutes=60

Trains without masks on the source and with some, and translates the test split, unmasked, with several numbers of
iterations. See `conf/study_translation.yaml` for what is compared, and `studies.py` for how parts run and resume.
"""

import shlex
from pathlib import Path
from typing import Any

from figures import Metric, Study, Values
from omegaconf import DictConfig, OmegaConf
from studies import check_settings, collect, for_minutes, keep_settings, run, settings_of, write_report

from maskwright.cli import Invocation, command

_RUN = "training"  # the name of the run of a part


@command("study_translation", prose=("training", "arms."))
def main(cfg: DictConfig, _: Invocation) -> None:
    study: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    folder = Path(study["folder"]).expanduser().resolve()
    common = {key: study[key] for key in ("training", "minutes", "iterations")}
    check_settings(folder, common)
    budget = [] if study["minutes"] is None else for_minutes(study["minutes"])
    listed = ",".join(map(str, study["iterations"]))
    run(
        folder / f"{study['arm']}-{study['seed']}" / _RUN,
        [
            *shlex.split(study["training"]),
            *budget,
            *settings_of(study["arms"], study["arm"]),
            f"task.test_iterations=[{listed}]",
            f"seed={study['seed']}",
        ],
    )
    keep_settings(folder, common)
    write_report(folder, lambda: Study(study["title"], study["baseline"], figures(folder, study)))


def figures(folder: Path, study: dict[str, Any]) -> dict[Metric, Values]:
    """Returns the results of the finished parts: BLEU and chrF by iterations, and the loss."""
    keys: dict[Metric, str] = {}
    for iterations in study["iterations"]:
        bleu = Metric(f"BLEU, {iterations} iterations", percent=False, margin=study["margin"])
        keys[bleu] = f"test/bleu_{iterations}"
        keys[Metric(f"chrF, {iterations} iterations", percent=False, main=False)] = f"test/chrf_{iterations}"
    keys[Metric("loss, nats", percent=False, main=False)] = "test/loss"
    keys[Metric("lengths predicted right", main=False)] = "test/length_accuracy"
    return {metric: collect(folder, _RUN, key) for metric, key in keys.items()}


if __name__ == "__main__":
    main()
