"""Runs a program of the repository as a process of its own, but without the seconds that its imports take."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path


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
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    os.chdir(cwd)
    os.environ.update(environment)
    sys.path[:0] = [os.path.abspath(path) for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")
