"""Files of predictions that are continued."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskwright.core.errors import UserError
from maskwright.reports.prediction_file import PredictionFile

OF = {"run": "a", "input": "b"}


def rows(first: int, number: int) -> list[dict]:
    return [{"text": f"text {i}", "predicted": None if i == 0 else f"{i}"} for i in range(first, first + number)]


def test_only_whole_windows_are_kept(tmp_path):
    path = tmp_path / "deep" / "out.jsonl"
    with PredictionFile(path, OF, False, 3) as file:
        file.write(rows(0, 3))
        file.write(rows(3, 2))
    with PredictionFile(path, OF, False, 3) as file:
        assert file.windows == 1
        assert list(file.held()) == rows(0, 3)
        file.write(rows(3, 1))
        file.finish()
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows(0, 4)
    assert [found.name for found in path.parent.iterdir()] == ["out.jsonl"]


def test_two_processes_do_not_write_the_same_file(tmp_path):
    path = tmp_path / "out.csv"
    with PredictionFile(path, OF, False, 3), pytest.raises(UserError, match="by another process"):
        PredictionFile(path, OF, False, 3)
    with PredictionFile(path, OF, False, 3):
        pass


@pytest.mark.parametrize("name", ["run", "input"])
def test_a_part_of_something_else_is_not_continued(tmp_path, name):
    path = tmp_path / "out.csv"
    with PredictionFile(path, OF, False, 1) as file:
        file.write([{"text": "a"}])
    with pytest.raises(UserError, match=f"begun with another {name}"):
        PredictionFile(path, OF | {name: "c"}, False, 1)


@pytest.mark.parametrize("rows", [0, 2])
def test_a_part_without_a_whole_window_is_not_kept(tmp_path, rows):
    path = tmp_path / "out.csv"

    def fail(file):
        file.write([{"text": "a"}] * rows)
        raise ValueError("a bad text")

    with pytest.raises(ValueError, match="a bad text"), PredictionFile(path, OF, False, 3) as file:
        fail(file)
    assert not [*tmp_path.iterdir()]
    with PredictionFile(path, OF | {"input": "the corrected one"}, False, 3) as file:
        assert not file.windows


def test_a_part_that_a_kill_left_without_rows_is_no_obstacle(tmp_path):
    part = tmp_path / ".out.csv.part"
    part.mkdir()
    (part / "about.json").write_text('{"run": "z"}')
    (part / "rows.jsonl").touch()
    with PredictionFile(tmp_path / "out.csv", OF, False, 3) as file:
        file.finish()


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_a_file_without_rows_is_a_file(tmp_path, ending):
    path = tmp_path / f"out{ending}"
    with PredictionFile(path, OF, False, 3) as file:
        file.finish()
    assert path.exists()
    if ending == ".parquet":
        assert pq.read_table(path).num_rows == 0


def test_a_failed_conversion_leaves_the_part(tmp_path):
    path = tmp_path / "out.parquet"
    with PredictionFile(path, OF, False, 2) as file:
        file.write([{"text": "a"} for _ in range(1024)] + [{"text": {"b": 1}}])
        with pytest.raises(pa.ArrowException):
            file.finish()
    assert not path.exists()
    assert (tmp_path / ".out.parquet.part" / "rows.jsonl").stat().st_size
