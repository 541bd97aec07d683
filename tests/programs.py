"""Runs programs of the repository as processes of their own, but without the seconds that their imports take."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from hydra.core.global_hydra import GlobalHydra


class Fork:
    """A fork of this process in which a function runs. It is waited for and sent signals as `subprocess.Popen` is.

    Args:
        function: what it does. Its standard streams are files.
        folder: where these are, and are made where they are not: `stdin`, `stdout` and `stderr`.
    """

    def __init__(self, function: Callable[[], None], folder: Path):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for name in ("stdin", "stdout", "stderr"):
            (folder / name).touch()
        self._process = multiprocessing.get_context("fork").Process(target=self._run, args=(function,))
        self._process.start()

    def _run(self, function: Callable[[], None]) -> None:
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            os.dup2(os.open(self.folder / name, os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY), number)
        _open_streams()
        function()

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("fork", timeout or 0, self.stdout, self.stderr)
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid or 0, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()


def wait_for(path: Path, process: "Fork | subprocess.Popen[str]", limit: float = 120) -> None:
    """Waits until a process has written a file."""
    deadline = time.monotonic() + limit
    while not (path.exists() and path.stat().st_size):
        assert process.poll() is None, f"ended with status {process.returncode} before {path}"
        assert time.monotonic() < deadline, f"no {path} after {limit} s"
        time.sleep(0.05)


def start(program: Path, *arguments: str, cwd: Path, streams: Path, **environment: str) -> Fork:
    """Starts what `python <program> <arguments>` does, in a fork of this process.

    The fork has imported already what the tests have. Its working directory, arguments, standard streams and exit
    status are those of a process of its own.

    Args:
        streams: the folder of its standard streams.
    """

    def run() -> None:
        os.chdir(cwd)
        os.environ.update(environment)
        sys.path[:0] = [
            os.path.abspath(path) for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path
        ]
        sys.argv = [str(program), *arguments]
        runpy.run_path(str(program), run_name="__main__")

    return Fork(run, streams)


def call(
    program: Path, *arguments: str, cwd: Path, stdin: str = "", limit: float = 60, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Does what `python <program> <arguments>` does, in a fork of this process, as `start` does.

    Args:
        limit: the seconds that it may take.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "stdin").write_text(stdin)
        with start(program, *arguments, cwd=cwd, streams=Path(folder), **environment) as fork:
            status = fork.wait(limit)
            return subprocess.CompletedProcess([str(program), *arguments], status, fork.stdout, fork.stderr)


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
