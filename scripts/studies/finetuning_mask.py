"""Studies whether a classifier learns more from other words if words of emotion are hidden in training.

    python scripts/studies/finetuning_mask.py finetuning="task=classification data=imdb init_from=logs/mlm/..."

Fine-tunes without masks, with masks from a lexicon at several ratios, and with as many random masks as a control.
All are tested on unmasked texts: on the whole test split, and on the texts whose words in the lexicon say little
about their label, or the opposite. See `conf/study_finetuning_mask.yaml` for what is compared, and `studies.py` for
how parts are run and resumed.
"""

import csv
import json
import re
import shlex
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from figures import Metric, Study, Values
from omegaconf import DictConfig, OmegaConf
from outcomes import Outcomes, over_seeds_and_texts
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from studies import check_settings, keep_settings, parts, run, settings_of, write_report

from maskwright.annotations.lexicon import Lexicon
from maskwright.cli import Invocation, command
from maskwright.core.atomic import write_file
from maskwright.core.errors import UserError

SCORED = "scores.json"  # the scores of a part
SCORES = ("accuracy", "precision", "recall", "f1")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@command("study_finetuning_mask", prose=("finetuning", "arms."))
def main(cfg: DictConfig, _: Invocation) -> None:
    study: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    folder = Path(study["folder"]).expanduser().resolve()
    part = folder / f"{study['arm']}-{study['seed']}"
    common = {key: study[key] for key in ("finetuning", "positive", "few")}
    check_settings(folder, common)
    run(
        part / "finetuning",
        [*shlex.split(study["finetuning"]), *settings_of(study["arms"], study["arm"]), f"seed={study['seed']}"],
    )
    text = json.dumps(scores(part / "finetuning", study["positive"], study["few"]), indent=1)
    write_file(part / SCORED, lambda path: path.write_text(text))
    keep_settings(folder, common)

    def collect() -> Study:
        baseline = study["baseline"]
        over_texts = over_seeds_and_texts(outcomes(folder), baseline)
        return Study(study["title"], baseline, figures(folder, study["margin"]), over_texts)

    write_report(folder, collect)


def outcomes(folder: Path) -> dict[str, Outcomes]:
    """Returns which texts the finished parts got right, for the accuracies on all texts and on the hard ones."""
    found: dict[str, Outcomes] = {}
    for arm, seeds in parts(folder).items():
        for seed, path in seeds.items():
            kept = json.loads((path / SCORED).read_text()).get("right", {}) if (path / SCORED).is_file() else {}
            for title, texts in kept.items():
                found.setdefault(title, {}).setdefault(arm, {})[seed] = np.array([*map(int, texts)], bool)
    return found


def figures(folder: Path, margin: float | None) -> dict[Metric, Values]:
    """Returns the results of the finished parts of the study."""
    metrics = [Metric("tokens hidden", main=False)]
    metrics += [
        Metric(f"{score}, {of}", main=score == "accuracy", margin=margin)
        for of in ("all", "hard")
        for score in SCORES
    ]
    found: dict[Metric, Values] = {metric: {} for metric in metrics}
    for arm, seeds in parts(folder).items():
        for seed, path in seeds.items():
            if (path / SCORED).is_file():
                own = json.loads((path / SCORED).read_text())
                for metric in metrics:
                    found[metric].setdefault(arm, {})[seed] = own[metric.title]
    return found


def scores(folder: Path, positive: str, few: float) -> dict[str, Any]:
    """Returns the scores of a run on all texts and on the hard ones, and the share of tokens hidden in training.

    Under "right", it has a digit for each text: 1 where the prediction is right.

    A text is hard if less than the share `few` of its words are in the lexicon, or if the sum of their valences
    does not have the sign of its label.
    """
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").open(encoding="utf-8")]
    if positive not in {row["label"] for row in rows}:
        raise UserError(f"positive={positive}: no text of the test split has that label.")
    valence = {
        word: score for word, score in Lexicon().scores.items() if score
    }  # the words that mask=lexicon hides
    hard = [row for row in rows if is_hard(row["text"], row["label"] == positive, few, valence)]
    if not hard:
        raise UserError(
            f"few={few}: none of the {len(rows):,} texts of the test split is hard. Set a larger share."
        )
    found: dict[str, Any] = {"tokens hidden": hidden(folder), "hard texts": len(hard) / len(rows), "right": {}}
    for name, chosen in (("all", rows), ("hard", hard)):
        labels, predicted = ([row[key] for row in chosen] for key in ("label", "predicted"))
        of_classes = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
        values = (accuracy_score(labels, predicted), *of_classes[:3])
        found |= {f"{score}, {name}": float(value) for score, value in zip(SCORES, values, strict=True)}
        found["right"][f"accuracy, {name}"] = "".join("01"[row["label"] == row["predicted"]] for row in chosen)
    return found


def is_hard(text: str, praises: bool, few: float, valence: dict[str, float]) -> bool:
    """Returns whether the words of the lexicon say little about a text, or the opposite of its label."""
    words = _WORD.findall(text.lower())
    valences = [valence[word] for word in words if word in valence]
    total = sum(valences) if praises else -sum(valences)
    return len(valences) < few * len(words) or total <= 0


def hidden(folder: Path) -> float:
    """Returns the mean share of hidden tokens over the steps that a run logged, including those before a resume."""
    rows = [row for path in folder.glob("metrics*.csv") for row in csv.DictReader(path.read_text().splitlines())]
    shares = [float(row["train/masked"]) for row in rows if row.get("train/masked")]
    return statistics.mean(shares) if shares else 0.0


if __name__ == "__main__":
    main()
