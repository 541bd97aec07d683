"""Long work in native code that signals end."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from maskwright.core.interruptible import interruptible

# learns from a stream that never ends, or from words that take minutes; hundreds of them are read before
SCRIPT = """
import random, signal, sys
from maskwright.text.tokenizer import Trained
def stop(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, stop)
draw = random.Random(1)
def texts():
    while True:
        yield ["".join(draw.choices("abcdefghi ", k=2000))]
        print(flush=True)
try:
    Trained("unigram", 8000, lowercase=False).make(texts)
except KeyboardInterrupt:
    sys.exit(143)
"""


def test_training_a_tokenizer_ends_on_sigterm():
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 143, errors


def test_a_signal_ends_the_wait_for_work_that_does_not_return():
    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    ended = threading.Event()

    def work(stopped):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        stopped.wait(20)
        ended.set()

    try:
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            interruptible(work)
        assert time.monotonic() - began < 10
        assert ended.is_set()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_results_and_errors_are_passed_on():
    assert interruptible(lambda stopped: stopped.is_set()) is False
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda stopped: 1 // 0)
