"""Studies whether a model answers questions better if words are hidden while it learns.

    python scripts/studies/question_answering.py training="experiment=squad_minilm hardware.precision=bf16-mixed"

Trains without masks, with masks on words of the question or of the context, and from random weights. All are tested
on unmasked text, beside the best answers of a fixed length. See `conf/study_question_answering.yaml` for what is
compared, and `studies.py` for how parts are run and resumed.
"""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
from figures import Metric, Study, Values
from finetuning_mask import hidden
from omegaconf import DictConfig, OmegaConf
from outcomes import Outcomes, over_seeds_and_texts
from studies import check_settings, collect, finished, keep_settings, parts, run, settings_of, write_report

from maskwright.cli import Invocation, command
from maskwright.reports.answer_scores import best_of

RUN = "answering"  # the run of a part
EXACT = "exact match"


@command("study_question_answering", prose=("training", "arms."))
def main(cfg: DictConfig, _: Invocation) -> None:
    study: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    folder = Path(study["folder"]).expanduser().resolve()
    common = {"training": study["training"]}
    check_settings(folder, common)
    run(
        folder / f"{study['arm']}-{study['seed']}" / RUN,
        [*shlex.split(study["training"]), *settings_of(study["arms"], study["arm"]), f"seed={study['seed']}"],
    )
    keep_settings(folder, common)

    def results() -> Study:
        baseline = study["baseline"]
        over_texts = over_seeds_and_texts({EXACT: outcomes(folder)}, baseline)
        return Study(study["title"], baseline, figures(folder, study["margin"]), over_texts)

    write_report(folder, results)


def figures(folder: Path, margin: float | None) -> dict[Metric, Values]:
    """Returns the results of the finished parts of the study."""
    f1 = collect(folder, RUN, "test/f1")
    runs = {(arm, seed): path / RUN for arm, seeds in parts(folder).items() for seed, path in seeds.items()}
    found: Values = {arm: {} for arm in f1}
    tokens: Values = {arm: {} for arm in f1}
    for arm, seeds in f1.items():
        for seed, value in seeds.items():
            fixed = json.loads((runs[arm, seed] / "baseline.json").read_text())
            found[arm][seed] = value - fixed["f1"]
            tokens[arm][seed] = hidden(runs[arm, seed])
    return {
        Metric("F1", margin=margin): f1,
        Metric(EXACT, margin=margin): collect(folder, RUN, "test/exact_match"),
        Metric("F1 above the best answers of a fixed length", main=False): found,
        Metric("tokens hidden", main=False): tokens,
    }


def outcomes(folder: Path) -> Outcomes:
    """Returns which questions of the test split the finished parts answered exactly."""
    found: Outcomes = {}
    for arm, seeds in parts(folder).items():
        for seed, path in seeds.items():
            if finished(path / RUN) is not None:
                lines = (path / RUN / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
                rows = map(json.loads, lines)
                right = [best_of(row["predicted"], row["answers"])[0] == 1 for row in rows]
                found.setdefault(arm, {})[seed] = np.array(right, bool)
    return found


if __name__ == "__main__":
    main()
