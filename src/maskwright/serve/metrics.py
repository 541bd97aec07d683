"""What a server has done, in the text format of Prometheus."""

import threading
from bisect import bisect_left
from collections import Counter

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class Metrics:
    """Counts of requests by endpoint and status, their durations, and the batches that they shared."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._durations = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0
        self._batches = self._texts = 0

    def request(self, path: str, status: int, seconds: float) -> None:
        """Counts a finished request."""
        with self._lock:
            self._requests[path, status] += 1
            self._durations[bisect_left(_BOUNDS, seconds)] += 1
            self._seconds += seconds

    def batch(self, texts: int) -> None:
        """Counts a batch of so many texts."""
        with self._lock:
            self._batches += 1
            self._texts += texts

    def text(self) -> str:
        with self._lock:
            lines = ["# TYPE maskwright_requests_total counter"]
            for (path, status), count in sorted(self._requests.items()):
                lines.append(f'maskwright_requests_total{{path="{path}",status="{status}"}} {count}')
            lines.append("# TYPE maskwright_request_seconds histogram")
            total = 0
            for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._durations, strict=True):
                total += count
                lines.append(f'maskwright_request_seconds_bucket{{le="{bound}"}} {total}')
            lines += [
                f"maskwright_request_seconds_sum {self._seconds:.6f}",
                f"maskwright_request_seconds_count {total}",
                "# TYPE maskwright_batches_total counter",
                f"maskwright_batches_total {self._batches}",
                "# TYPE maskwright_batched_texts_total counter",
                f"maskwright_batched_texts_total {self._texts}",
            ]
            return "\n".join(lines) + "\n"
