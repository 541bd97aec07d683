"""Long work in native code that Ctrl-C and SIGTERM end."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")
_BETWEEN_SIGNALS = 0.1  # seconds
_TO_STOP = 1.0  # seconds


def interruptible(function: Callable[[threading.Event], Result]) -> Result:
    """Returns what a function returns, during which signals are handled even if it stays in native code.

    Python handles signals in the main thread, between two of its own instructions; so the function runs in a
    thread of its own, which ends with the program. Native code has to release the interpreter's lock meanwhile, as
    `tokenizers` does.

    Args:
        function: called with an event, which is set when a signal has ended the wait for it. Its Python code should
            end then: a thread that wants the interpreter's lock while the program ends would abort the program.
    """
    future: Future[Result] = Future()
    stopped = threading.Event()

    def run() -> None:
        try:
            future.set_result(function(stopped))
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_BETWEEN_SIGNALS)
    except BaseException:
        stopped.set()
        thread.join(_TO_STOP)
        time.sleep(_BETWEEN_SIGNALS)  # threads of native code give back what they hold of Python
        raise
    return future.result()
