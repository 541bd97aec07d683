"""Has a scheduler start a job again that it has warned of its end."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping

from maskwright.core.signals import of_submitit

_WARNINGS = ("SIGUSR1", "SIGUSR2")  # SIGTERM may be `scancel`, and Slurm requeues preempted jobs by itself


def requeue(number: int, environment: Mapping[str, str] = os.environ) -> None:
    """Starts this job again where a scheduler has warned it by a signal; call it last, for it may end the process.

    submitit does so by its own handler of the signal. The first process of another job of Slurm calls `scontrol`.
    Nothing happens elsewhere.

    Args:
        number: the signal.
    """
    handler = signal.getsignal(number)
    if callable(handler) and of_submitit(handler):
        handler(number, None)
        return
    job = environment.get("SLURM_JOB_ID")
    if job is None or signal.Signals(number).name not in _WARNINGS or environment.get("SLURM_PROCID", "0") != "0":
        return
    if shutil.which("scontrol") is None:
        print("note: there is no scontrol here, so the job is not requeued", file=sys.stderr, flush=True)
        return
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    said = "requeued" if done.returncode == 0 else f"not requeued: {done.stderr.strip()}"
    print(f"Slurm job {job} is {said}", file=sys.stderr, flush=True)
