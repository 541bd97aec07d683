import os

import pytest

from maskwright.core.parallel import parallel_map


def _square(x: int) -> tuple[int, int]:
    return x * x, os.getpid()


def _fail(x: int) -> int:
    raise ValueError(f"item {x}")


@pytest.mark.parametrize("workers", [1, 2])
def test_order_is_kept(workers):
    results = list(parallel_map(_square, range(50), workers))
    assert [square for square, _ in results] == [x * x for x in range(50)]
    assert (os.getpid() in {pid for _, pid in results}) == (workers == 1)


def test_a_stream_is_not_read_ahead_without_bound():
    read = 0

    def stream():
        nonlocal read
        while read < 1000:
            read += 1
            yield read

    results = parallel_map(_square, stream(), 2)
    next(results)
    assert read <= 5
    results.close()


def test_errors_of_workers_are_raised():
    with pytest.raises(ValueError, match="item 0"):
        list(parallel_map(_fail, range(3), 2))


def test_a_single_item_starts_no_process():
    assert list(parallel_map(_square, [3], 2)) == [(9, os.getpid())]
    assert list(parallel_map(_square, [], 2)) == []


def in_processes(number: int) -> list[str]:
    return list(parallel_map(str, range(number), 2))


def test_processes_of_joblib_can_start_processes():
    """Jobs of hydra/launcher=joblib prepare corpora; the method by which joblib started them has no other user."""
    joblib = pytest.importorskip("joblib")
    assert joblib.Parallel(n_jobs=2)([joblib.delayed(in_processes)(3)]) == [["0", "1", "2"]]
