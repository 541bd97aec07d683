"""Which test texts each part got right, and how differences vary over seeds and texts together."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.reports.statistics import Estimate, hierarchical_bootstrap

Outcomes = dict[str, dict[int, NDArray[np.bool_]]]  # of N texts, by arm and seed


def right(folder: Path) -> NDArray[np.bool_]:
    """Returns which test texts a run got right (N,), in their order; of none if it kept no labels of texts."""
    path = folder / "predictions.jsonl"
    if not path.is_file():
        return np.zeros(0, bool)
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return np.array([row["label"] == row["predicted"] for row in rows if "label" in row], bool)


def over_seeds_and_texts(outcomes: dict[str, Outcomes], baseline: str) -> dict[str, dict[str, Estimate]]:
    """Returns the difference of each arm to the baseline, with its interval over seeds and texts.

    Arms that share fewer than two seeds with the baseline, or were tested on other texts, are left out.

    Args:
        outcomes: of each metric, by its title.
    """
    found: dict[str, dict[str, Estimate]] = {}
    for title, arms in outcomes.items():
        for arm in arms.keys() - {baseline}:
            seeds = sorted(arms[arm].keys() & arms.get(baseline, {}).keys())
            own, other = ([arms[side][seed] for seed in seeds] for side in (arm, baseline))
            if len(seeds) > 1 and len(own[0]) and len({len(row) for row in own + other}) == 1:
                found.setdefault(title, {})[arm] = hierarchical_bootstrap(own, other)
    return found
