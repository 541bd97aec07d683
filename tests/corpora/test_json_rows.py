"""Lists of JSON objects, read in pieces."""

import json
import tracemalloc

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora import json_rows
from maskwright.corpora.rows import Format

ROWS = [
    {"text": 'a "quoted" \\ [text], {b}', "more": {"list": [1, -2.5e3, None, True]}},
    {"text": "Ünïcode 😀 中", "number": 12},
    {"text": ""},
    {"number": float("inf"), "text": "x" * 40 + "\n\t"},
]


def read(path):
    return [values for _, values in json_rows.read_json(path, {"data.column": "text"}, Format())]


@pytest.mark.parametrize("chunk", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize("settings", [{}, {"ensure_ascii": False, "indent": 3}])
def test_rows_are_found_however_the_text_is_cut(tmp_path, monkeypatch, chunk, settings):
    monkeypatch.setattr(json_rows, "_CHUNK", chunk)
    path = tmp_path / "a.json"
    for rows in (ROWS, ROWS[:1], []):
        path.write_text("\n " + json.dumps(rows, **settings) + " \n", encoding="utf-8")
        assert read(path) == [[row["text"]] for row in rows]


@pytest.mark.parametrize("chunk", [1, 1 << 20])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"text": "a"},\n {"text": tru}]', "line 2, is not JSON: Expecting value"),
        ('[{"text": "a"},\n {"text": "b"}\n {"text": "c"}]', "line 3, is not JSON: a comma or ] is missing"),
        ('[{"text": "a"},\n {"text": "b}]', "line 2, is not JSON: Unterminated string"),
        ('[{"text": "a"},\n]', "line 2, is not JSON: Expecting value"),
        ('[{"text": "a"}\n', "line 2, is not JSON: a comma or ] is missing"),
        ("[\n", "line 2, is not JSON: Expecting value"),
        ('[{"text": "a"}]\n[{"text": "a"}]', "line 2, is not JSON: something follows the list"),
        ('[{"text": "a"},\n {"text":\n\n "b" "c"}]', "line 4, is not JSON: Expecting ',' delimiter"),
        ('[{"text": "a"},\n "b"]', "line 2, row 2, is not a JSON object with the key 'text'"),
        ('[{"text": "a"},\n\n {"text": "\\ud800"}]', r"line 3, row 2, holds \\ud800 by itself"),
    ],
)
def test_errors_name_the_line(tmp_path, monkeypatch, chunk, text, message):
    monkeypatch.setattr(json_rows, "_CHUNK", chunk)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=rf"a\.json, {message}"):
        read(tmp_path / "a.json")


def test_a_long_list_is_not_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "_CHUNK", 1 << 12)
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"text": "word " * 100}] * 4000, indent=1))  # 2 MB
    tracemalloc.start()
    try:
        assert sum(1 for _ in json_rows.read_json(path, {"data.column": "text"}, Format())) == 4000
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
