"""Compares objectives of pretraining: each trains the same model for the same time, which is then fine-tuned.

    python scripts/studies/objectives.py
    python scripts/studies/objectives.py arm=mlm,rtd seed=1 minutes=1 folder=logs/studies/mine

See `conf/study_objectives.yaml` for the arms. Parts are those of `masking.py`: pretraining, then each fine-tuning.
"""

from masking import PROSE, part_of_study
from omegaconf import DictConfig

from maskwright.cli import Invocation, command


@command("study_objectives", prose=PROSE)
def main(cfg: DictConfig, _: Invocation) -> None:
    part_of_study(cfg)


if __name__ == "__main__":
    main()
