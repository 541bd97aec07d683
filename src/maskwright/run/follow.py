"""A process beside the first of a run on several devices, which that one starts."""

import signal
import sys
from typing import Any

from omegaconf import OmegaConf

from maskwright.core.distributed import is_lost_connection
from maskwright.core.errors import Interrupted, UserError
from maskwright.core.signals import ENDING
from maskwright.run import evaluate, train
from maskwright.run.ranks import Place, end_with_parent, follow, place_of_follower


def run(task: tuple[str, dict[str, Any], tuple[str, ...]], place: Place) -> None:
    """Does what the first process does: `train` or `evaluate`, with its config and overrides."""
    command, config, overrides = task
    beside = train.beside if command == "train" else evaluate.beside
    beside(OmegaConf.create(config), overrides, place)


if __name__ == "__main__":
    end_with_parent()
    for number in ENDING[2:]:  # until training takes them, the first process decides what they mean
        signal.signal(number, signal.SIG_IGN)
    try:
        follow(place_of_follower(), run)
    except (UserError, Interrupted, KeyboardInterrupt):  # of which the first process tells
        sys.exit(1)
    except RuntimeError as error:
        if not is_lost_connection(error):
            raise
        sys.exit(1)  # another process has failed, and tells why
