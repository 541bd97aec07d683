"""Requests that wait together, and the end of a server."""

import json
import signal
import socket
import threading
import time
from urllib.request import Request, urlopen

import pytest

from maskwright.run.serve import serve
from maskwright.serve.app import Limits, make_app
from maskwright.serve.batcher import Batcher, Busy
from maskwright.serve.engine import Engine, Skill
from maskwright.serve.metrics import Metrics
from maskwright.settings.commands import ServeSettings
from tests.programs import Fork


class Slow:
    """Answers with the length of a text; the first answer waits until it is let go."""

    def __init__(self):
        self.go, self.batches = threading.Event(), []

    def __call__(self, texts, **options):
        assert self.go.wait(10)
        self.batches.append((texts, options))
        if "bad" in texts:
            raise ValueError("a bad text")
        return [{"length": len(text)} for text in texts]


def batcher(slow: Slow, most: int = 4, waiting: int = 100) -> Batcher:
    return Batcher(Engine("torch", "none", {"fill": Skill(slow), "score": Skill(slow)}), Metrics(), most, waiting)


def begun(own: Batcher, slow: Slow):
    """Submits a request and returns when it is computed."""
    first = own.submit("fill", ["first"], {})
    while not first.running():
        time.sleep(0.001)
    return first


def test_requests_that_wait_share_batches_of_the_same_kind():
    slow = Slow()
    own = batcher(slow)
    begun(own, slow)
    asked = [
        ("fill", ["a"], {}),
        ("score", ["b"], {}),
        ("fill", ["c"] * 3, {}),
        ("fill", ["d"], {"top_k": 1}),
        ("fill", ["e"] * 9, {}),
    ]
    found = [own.submit(*each) for each in asked]
    slow.go.set()
    assert [len(each.result(10)) for each in found] == [1, 1, 3, 1, 9]
    assert slow.batches[1:] == [
        (["a", "c", "c", "c"], {}),
        (["b"], {}),
        (["d"], {"top_k": 1}),
        (["e"] * 9, {}),
    ]
    own.close()


def test_a_bad_text_fails_alone():
    slow = Slow()
    own = batcher(slow)
    begun(own, slow)
    good, bad, other = (own.submit("fill", [text], {}) for text in ("good", "bad", "other"))
    slow.go.set()
    assert good.result(10) == [{"length": 4}]
    assert other.result(10) == [{"length": 5}]
    with pytest.raises(ValueError, match="a bad text"):
        bad.result(10)
    own.close()


def test_only_so_many_texts_wait_and_the_end_answers_them():
    slow = Slow()
    own = batcher(slow, waiting=3)
    begun(own, slow)
    waiting = own.submit("fill", ["a"] * 3, {})
    cancelled = own.submit("fill", [], {})
    assert cancelled.cancel()
    with pytest.raises(Busy):
        own.submit("fill", ["b"], {})
    slow.go.set()
    own.close()
    assert len(waiting.result(0)) == 3
    with pytest.raises(Busy):
        own.submit("fill", ["b"], {})


def test_what_was_begun_is_finished_at_the_end(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run():
        def answer(texts, **options):
            (tmp_path / "begun").touch()
            time.sleep(1)
            return [{"length": len(text)} for text in texts]

        asked = ServeSettings.model_construct(run="slow", host="127.0.0.1", port=port, grace=10)
        serve(asked, make_app(Engine("torch", "slow", {"tag": Skill(answer)}), Limits()))

    process = Fork(run, tmp_path / "streams")
    answers = []

    def ask():
        request = Request(f"http://127.0.0.1:{port}/tag", b'{"text": "abc"}', {"Content-Type": "application/json"})
        for _ in range(200):
            try:
                with urlopen(request, timeout=10) as response:
                    answers.append(json.load(response))
                return
            except ConnectionRefusedError:
                time.sleep(0.05)
            except OSError as error:
                if not isinstance(getattr(error, "reason", None), ConnectionRefusedError):
                    raise
                time.sleep(0.05)

    thread = threading.Thread(target=ask)
    thread.start()
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    thread.join(20)
    assert answers == [{"rows": [{"length": 3}]}]
    assert process.wait(20) == 0, process.stderr
