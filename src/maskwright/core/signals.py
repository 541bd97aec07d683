"""The signals that end a program in an orderly way."""

import signal
from typing import Any

# Ctrl-C; what docker sends, and Slurm at the end of a job's time; what Slurm is asked to send before that
# (sbatch --signal) and submitit asks for. Windows knows the first two alone.
ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)


def of_submitit(handler: Any) -> bool:
    """Whether submitit has set a handler: it starts the job again on one signal, and ignores another on purpose."""
    return str(getattr(handler, "__module__", "")).startswith("submitit.")
