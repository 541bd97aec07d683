"""The jobs of a sweep, each a process of its own, several at a time."""

import ctypes
import hashlib
import json
import math
import os
import re
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, Popen

import yaml

from maskwright.core.signals import ENDING

PRUNED = 3  # exit status
_NAME = 100  # characters of a folder's name
_SECONDS_BETWEEN_LOOKS = 0.1
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux


@dataclass
class Job:
    """A command, and the directory that it runs in.

    Attributes:
        name: how the job is called on the terminal.
        command: the program and its arguments.
        folder: its run directory, where `output.log` has what it prints.
        status: the exit status; negative numbers are signals, as in `subprocess`.
    """

    name: str
    command: Sequence[str]
    folder: Path
    status: int | None = None
    began: float = 0.0
    _process: "Popen[bytes] | None" = field(default=None, repr=False)
    _read: int = 0

    @property
    def output(self) -> Path:
        return self.folder / "output.log"

    def start(self, environment: dict[str, str]) -> None:
        """Starts the process, which is told to end when this one ends in any way (on Linux)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.began = time.monotonic()
        with self.output.open("ab") as output:
            self._read = output.tell()
            # Ctrl-C reaches this process alone, which passes it on once
            self._process = Popen(
                self.command,
                env=os.environ | environment,
                stdin=DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    def ended(self) -> bool:
        assert self._process is not None
        self.status = self._process.poll()
        return self.status is not None

    def send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def show(self) -> None:
        """Prints what the process has printed since the last call."""
        with self.output.open("rb") as output:
            output.seek(self._read)
            text = output.read()
        self._read += len(text)
        sys.stdout.write(text.decode(errors="replace"))
        sys.stdout.flush()

    def end(self) -> str:
        """Returns how the job ended, in a line."""
        after = f"after {time.monotonic() - self.began:.0f} s"
        if self.status not in (0, PRUNED):  # the objective of its folder would be that of an earlier start
            return f"FAILED {after}: {self.error()}"
        value = self.objective()
        objective = "" if math.isnan(value) else f", objective {value:.4f}"
        return f"{'pruned' if self.status == PRUNED else 'completed'} {after}{objective}"

    def summary(self) -> dict[str, object]:
        """Returns summary.json; nothing if there is none."""
        try:
            return dict(json.loads((self.folder / "summary.json").read_text()))
        except (OSError, ValueError):
            return {}

    def objective(self) -> float:
        """Returns the metric that the run names as its objective; NaN if it has none."""
        try:
            name = yaml.safe_load((self.folder / "config.yaml").read_text())["objective"]
            return float(self.summary()["metrics"][name])  # type: ignore[index]
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            return math.nan

    def error(self) -> str:
        """Returns the line that says why the job failed."""
        said = [line for line in self.output.read_text(errors="replace").splitlines() if line.strip()]
        for line in reversed(said):
            if line.startswith("error: "):
                return line.removeprefix("error: ")
        how = f"killed by {signal.Signals(-self.status).name}" if self.status and self.status < 0 else ""
        return how or (said[-1] if said else f"exit status {self.status}")


def run_jobs(
    jobs: Sequence[Job], at_once: int, environments: Sequence[dict[str, str]], quiet: bool = False
) -> None:
    """Runs jobs and waits for their ends, which are noted in them.

    A signal that ends this process is passed on to the jobs, which write checkpoints; a second one kills them.

    Args:
        at_once: how many jobs run at a time. What a single one prints is shown.
        environments: variables of the jobs, one mapping for each of those that run at a time.
        quiet: whether nothing is printed of them.
    Raises:
        KeyboardInterrupt: a signal has ended the jobs.
    """
    waiting, running = deque(jobs), dict[int, Job]()
    say = (lambda *_: None) if quiet else _say
    with _signals_interrupt():
        try:
            while waiting or running:
                for slot in range(at_once):
                    if waiting and slot not in running:
                        running[slot] = waiting.popleft()
                        say(running[slot], f"{' '.join(running[slot].command)}\n  output: {running[slot].output}")
                        running[slot].start(environments[slot])
                for slot, job in [*running.items()]:
                    ended = job.ended()
                    if at_once == 1 and not quiet:
                        job.show()
                    if ended:
                        say(job, job.end())
                        del running[slot]
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        except KeyboardInterrupt as stop:
            number = stop.args[0] if stop.args else signal.SIGINT
            # one of the jobs is not to have a whole allocation of Slurm requeued while others still write
            _end(running, signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
            left = [job.name for job in (*running.values(), *waiting) if job.status != 0]
            print(f"Stopped. The same command goes on with what is left: {'; '.join(left)}", file=sys.stderr)
            raise KeyboardInterrupt(number) from None


def _say(job: Job, text: str) -> None:
    print(f"[{job.name}] {text}", flush=True)


def _end(running: dict[int, Job], number: int) -> None:
    for job in running.values():
        job.send(number)
    try:
        while [job for job in running.values() if not job.ended()]:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        for job in running.values():
            job.send(signal.SIGKILL)


class _signals_interrupt:
    """Raises KeyboardInterrupt with the number of a signal for each that ends a run."""

    def __enter__(self) -> None:
        def interrupt(number: int, frame: object) -> None:
            raise KeyboardInterrupt(number)

        self._before = {number: signal.signal(number, interrupt) for number in ENDING}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)


def names(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Returns names of jobs for people: the overrides that they do not share."""
    return [" ".join(own for own in job if not all(own in other for other in jobs)) for job in jobs]


def folder_name(name: str) -> str:
    """Returns a job's name as the name of a folder, which stays the same if other jobs are added."""
    between = name.replace(" ", ",") or "job"
    plain = re.sub(r"[^\w.=,+-]+", "_", between.replace("/", "."))
    if len(plain) <= _NAME and plain == between:
        return plain
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{plain[:_NAME]}-{digest}"


def sweep_name(arguments: Sequence[str]) -> str:
    """Returns the name of a sweep's folder: the keys that its command varies, and a digest of its overrides.

    The same command, in any order, has the same folder. Overrides of Hydra itself do not count.
    """
    own = sorted(a for a in arguments if "=" in a and not re.match(r"-|\+*hydra[./]", a))
    pairs = [(key.lstrip("+"), value) for key, _, value in (a.partition("=") for a in own)]
    keys = [value if key == "sweep" else key for key, value in pairs if "," in value or key == "sweep"]
    digest = hashlib.blake2b("\n".join(own).encode(), digest_size=4).hexdigest()
    plain = re.sub(r"[^\w.,-]+", "_", ",".join(keys))[:_NAME]
    return f"{plain or 'sweep'}-{digest}"
