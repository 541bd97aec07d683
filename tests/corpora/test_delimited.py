"""Files of columns: what separates them, what they are called, and how they are quoted."""

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora.source import Source


def read(path, column="text", label=None, **settings):
    found = Source(str(path), None, column, "row", label=label, **settings).read("train")
    return [text if label is None else (text.text, text.label) for text in found]


def test_columns_are_numbered_where_no_line_names_them(tmp_path):
    path = tmp_path / "train.csv"  # as AG News
    path.write_text('3,"Wall St.","Bears, again"\n4,"Carlyle","Oil"\n')
    assert read(path, 3, 1, header=False) == [("Bears, again", "3"), ("Oil", "4")]
    assert read(path, "2", "1", header=False) == [("Wall St.", "3"), ("Carlyle", "4")]
    with pytest.raises(
        UserError,
        match=r"Its columns are: 3, Wall St., Bears, again. The first line is taken for names.*data\.header=false",
    ):
        read(path)
    with pytest.raises(UserError, match=r"Its columns are: 1, 2, 3. With data.header=false columns have numbers"):
        read(path, header=False)
    with pytest.raises(UserError, match="has no column '4'"):
        read(path, 4, header=False)


def test_a_number_counts_named_columns_too_but_names_come_first(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,text,1\n5,x,y\n")
    assert read(path, 2) == ["x"]
    assert read(path, 1) == ["y"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_what_separates_columns_without_names_is_found(tmp_path, name, delimiter):
    rows = [["5.5", "A, b; c", "x"], ["2.5", "d | e", "y"], ["1.5", "f", "z"]]
    (tmp_path / name).write_text("".join(delimiter.join(f'"{value}"' for value in row) + "\n" for row in rows))
    assert read(tmp_path / name, 2, 1, header=False) == [(row[1], row[0]) for row in rows]


@pytest.mark.parametrize("given", ["^", ";", "tab", "\\t"])
def test_the_config_says_what_separates_columns(tmp_path, given):
    between = {"tab": "\t", "\\t": "\t"}.get(given, given)
    (tmp_path / "a.csv").write_text(f"id{between}text\n1{between}a, b\n")
    assert read(tmp_path / "a.csv", delimiter=given) == ["a, b"]
    with pytest.raises(
        UserError, match=r"data.delimiter='ab' is not one character, nor the name of one: comma, tab"
    ):
        read(tmp_path / "a.csv", delimiter="ab")


def test_the_message_lists_what_the_header_holds(tmp_path):
    (tmp_path / "a.csv").write_text("id;body;label\n1;x, y;z\n")
    with pytest.raises(UserError, match=r"has no column 'text'.*Its columns are: id, body, label\."):
        read(tmp_path / "a.csv")


def test_tabs_with_and_without_quotes(tmp_path):
    path = tmp_path / "glue.tsv"  # without quotes, as the files of GLUE
    path.write_text('text\tlabel\n"unfinished\t1\nsaid "so"\t0\n"All" is "well"\t1\n')
    assert read(path, "text", "label") == [('"unfinished', "1"), ('said "so"', "0"), ('"All" is "well"', "1")]
    path.write_text('text\tlabel\n"a\tb ""c"""\t1\nd\t0\n')
    assert read(path, "text", "label") == [('a\tb "c"', "1"), ("d", "0")]


def test_other_numbers_of_values_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("1;x\n2;y;z\n")
    with pytest.raises(
        UserError,
        match=r"line 2, has 3 values, but the first line has 2 columns. A value that contains a semicolon",
    ):
        read(tmp_path / "a.csv", 2, header=False, delimiter=";")
