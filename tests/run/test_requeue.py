import signal

import pytest

from maskwright.run.requeue import requeue


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A program of that name, and the file with the arguments that it has got."""
    program, got = tmp_path / "scontrol", tmp_path / "arguments"
    program.write_text(f'#!/bin/sh\necho "$@" >> {got}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return got


def test_a_job_of_slurm_that_was_warned_is_requeued_once(scontrol, capfd):
    for rank in ("0", "1"):
        requeue(signal.SIGUSR1, {"SLURM_JOB_ID": "17", "SLURM_PROCID": rank})
    assert scontrol.read_text() == "requeue 17\n"
    assert capfd.readouterr().err == "Slurm job 17 is requeued\n"


@pytest.mark.parametrize(
    ("number", "environment"), [(signal.SIGUSR1, {}), (signal.SIGTERM, {"SLURM_JOB_ID": "17"})]
)
def test_nothing_else_is_requeued(scontrol, number, environment):
    requeue(number, environment)
    assert not scontrol.exists()


def test_the_handler_of_submitit_has_the_last_word(scontrol, monkeypatch):
    called = []
    handler = lambda number, frame: called.append(number)  # noqa: E731
    handler.__module__ = "submitit.core.job_environment"
    before = signal.signal(signal.SIGUSR2, handler)
    try:
        requeue(signal.SIGUSR2, {"SLURM_JOB_ID": "17"})
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert called == [signal.SIGUSR2]
    assert not scontrol.exists()
