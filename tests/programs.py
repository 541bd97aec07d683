"""Runs a program of the repository as a process of its own, but without the seconds that its imports take."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra


def call(
    program: Path, *arguments: str, cwd: Path, stdin: str = "", limit: float = 60, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Does what `python <program> <arguments>` does, in a fork of this process.

    The fork has imported already what the tests have. Its working directory, arguments, standard streams and exit
    status are those of a process of its own.

    Args:
        limit: the seconds that it may take.
    """
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        for path in streams:
            path.write_text(stdin if path.name == "stdin" else "")
        target = (str(program), arguments, str(cwd), streams, environment)
        process = multiprocessing.get_context("fork").Process(target=_run, args=target)
        process.start()
        process.join(limit)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(arguments, limit, *(path.read_text() for path in streams[1:]))
        texts = (path.read_text() for path in streams[1:])
        return subprocess.CompletedProcess([str(program), *arguments], process.exitcode, *texts)


def _run(
    program: str, arguments: tuple[str, ...], cwd: str, streams: list[Path], environment: dict[str, str]
) -> None:
    for number, path in enumerate(streams):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY)
        os.dup2(handle, number)
    _open_streams()
    os.chdir(cwd)
    os.environ.update(environment)
    sys.path[:0] = [os.path.abspath(path) for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")


def _open_streams() -> None:
    # closing one that was opened before must not close its number
    sys.stdin, sys.stdout, sys.stderr = (open(n, "w" if n else "r", closefd=False) for n in range(3))  # noqa: SIM115


class Forked:
    """What `subprocess.Popen([python, program, *arguments], …)` returns, as a fork of this process."""

    def __init__(self, command, env, stdin, stdout, stderr, start_new_session, preexec_fn):
        def run() -> None:
            os.setsid()
            preexec_fn()
            for number in (1, 2):
                os.dup2(stdout.fileno(), number)
            _open_streams()
            os.environ.update(env)
            sys.argv = [*command[1:]]
            GlobalHydra.instance().clear()  # of a sweep
            runpy.run_path(command[1], run_name="__main__")

        self.process = multiprocessing.get_context("fork").Process(target=run)
        self.process.start()

    def poll(self) -> int | None:
        self.process.join(0)
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.process.pid, number)
