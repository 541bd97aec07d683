import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskwright.core.errors import UserError
from maskwright.corpora.source import Source


def read(path, column="text", document="row", split="train"):
    return list(Source(str(path), None, column, document).read(split))


def test_text_files_are_read_by_row_paragraph_file_and_article(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(" = One = \n\nfirst line\n = 1 = \n\nthird\n\n = Two = \n\n = = Part = = \n\nfourth\n")
    assert len(read(path)) == 7
    assert read(path, document="paragraph")[1].endswith(" = 1 = ")
    assert len(read(path, document="paragraph")) == 6
    assert len(read(path, document="file")) == 1
    one, two = read(path, document="article")
    assert one.startswith(" = One = ")
    assert "third" in one
    assert "= = Part" in two
    assert "fourth" in two


def test_tables_are_read(tmp_path):
    texts = ["first, with comma", 'second "quoted"\nover two lines', "dritter ü"]
    (tmp_path / "a.jsonl").write_text('{"text": "x", "id": 1}\n\n{"id": 2, "text": "y"}\n')
    (tmp_path / "b.csv").write_text(
        'id,text\n1,"first, with comma"\n2,"second ""quoted""\nover two lines"\n3,dritter ü\n'
    )
    pq.write_table(pa.table({"id": [1, 2, 3], "text": texts}), tmp_path / "c.parquet")
    assert read(tmp_path / "a.jsonl") == ["x", "y"]
    assert read(tmp_path / "b.csv") == texts
    assert read(tmp_path / "c.parquet") == texts


def test_folders_and_globs_are_read_in_order(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.txt", "a.txt", "sub/c.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    assert read(tmp_path) == ["a.txt", "b.txt", "sub/c.txt"]
    assert read(f"{tmp_path}/*.txt") == ["a.txt", "b.txt"]
    assert read(f"{tmp_path}/**/*.txt") == ["a.txt", "b.txt", "sub/c.txt"]


def test_unusual_file_names_and_byte_order_marks_are_accepted(tmp_path):
    (tmp_path / "d [1].TXT").write_bytes(b"\xef\xbb\xbfone")
    (tmp_path / "README.md").write_text("# My books")
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "two"}')
    assert read(tmp_path / "d [1].TXT") == ["one"]
    assert read(tmp_path) == ["two", "one"]


def test_errors_name_the_file_and_the_place(tmp_path):
    def refused(name, content, column="text", match="", **options):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UserError, match=match):
            read(path, column, **options)

    refused("latin.txt", "gut\ngrün und süß".encode("latin-1"), match=r"latin\.txt is not UTF-8: .*offset 6")
    refused("latin.csv", b"text\n\xff\n", match=r"latin\.csv is not UTF-8: .*offset 5")
    refused("a.csv", b"id,body\n1,x\n", match=r"a\.csv has no column 'text'.*id, body")
    refused("a.csv", b"id,texts\n1,x\n", match="Did you mean 'texts'")
    refused("empty.csv", b"", match="has no column 'text'")
    refused("open.csv", b'text\n"x\ny\n', match=r"open\.csv is not CSV up to its end")
    refused("a.jsonl", b'{"text": "x"}\n{"text": \n', match="line 2, is not JSON")
    refused("a.jsonl", b'["x"]\n', match="line 1, is not a JSON object")
    refused("a.jsonl", b'{"text": 5}\n', match="line 1, holds int in 'text'")
    refused("a.jsonl", b'{"body": "x"}\n', match="line 1, has no column 'text'")
    refused("a.parquet", b"PAR1", match=r"a\.parquet is not a parquet file")
    refused("a.docx", b"x", match="has an unknown file extension")
    refused("b.txt", b"x", split="validation", match=r"data\.splits\.validation=0\.05")


def test_missing_sources_are_refused(tmp_path):
    (tmp_path / "corpus.txt").write_text("x")
    with pytest.raises(UserError, match="does not exist. Did you mean 'corpus.txt'"):
        read(tmp_path / "corpsu.txt")
    with pytest.raises(UserError, match="matches no file"):
        read(tmp_path / "*.csv")
    with pytest.raises(UserError, match="'nopackage' is not installed"):
        read("pkg://nopackage/x.txt")
    with pytest.raises(UserError, match="ships no such file"):
        read("pkg://maskwright/x.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="a folder without .txt"):
        read(tmp_path / "empty")
    with pytest.raises(UserError, match=r"data\.document is 'rows'. Did you mean 'row'"):
        Source("x", None, "text", "rows")


def test_folders_in_the_hubs_layout_are_read(tmp_path):
    for config in ("en", "de"):
        folder = tmp_path / "owner" / "set" / config
        folder.mkdir(parents=True)
        for split in ("train", "test"):
            pq.write_table(pa.table({"text": [f"{config} {split}"]}), folder / f"{split}-00000-of-00001.parquet")
    (tmp_path / "owner" / "set" / "README.md").write_text(
        "---\nconfigs:\n"
        "- config_name: en\n  default: true\n  data_files:\n"
        "  - split: train\n    path: en/train-*\n  - split: test\n    path: en/test-*\n"
        "- config_name: de\n  data_files:\n  - split: train\n    path: de/train-*\n---\n"
    )
    source = str(tmp_path / "owner" / "set")
    assert read(source) == ["en train"]
    assert read(source, split="test") == ["en test"]
    assert list(Source(source, "de", "text", "row").read("train")) == ["de train"]
    with pytest.raises(UserError, match="no configuration data.config='fr'"):
        list(Source(source, "fr", "text", "row").read("train"))
    with pytest.raises(UserError, match=r"no split 'validation' \(data.splits\)"):
        read(source, split="validation")
    with pytest.raises(UserError, match="has no column 'body'.*text"):
        read(source, column="body")
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "owner" / "set" / "en" / "train-00000-of-00001.parquet")
    with pytest.raises(UserError, match="holds int in 'text'"):
        read(source)
    whole = (tmp_path / "owner" / "set" / "de" / "train-00000-of-00001.parquet").read_bytes()
    (tmp_path / "owner" / "set" / "en" / "train-00000-of-00001.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="owner/set"):
        read(source)


def test_sources_list_their_splits(tmp_path, films):
    def splits(source):
        return Source(str(source), None, "text", "row").splits()

    (tmp_path / "all.csv").write_text("text\n")
    assert splits(tmp_path / "all.csv") == {"train"}
    (tmp_path / "named").mkdir()
    for name in ("my.train", "my.dev"):
        (tmp_path / "named" / f"{name}.csv").write_text("text\nx\n")
    assert splits(tmp_path / "named") == {"train", "validation"}
    assert splits(films) == {"train", "test", "unsupervised"}
    with tarfile.open(tmp_path / "films.tar.gz", "w:gz") as archive:
        archive.add(films, "aclImdb")
    assert splits(tmp_path / "films.tar.gz") == {"train", "test", "unsupervised"}
    (tmp_path / "hub").mkdir()
    for split in ("train", "test"):
        pq.write_table(pa.table({"text": ["x"]}), tmp_path / "hub" / f"{split}-0.parquet")
    assert splits(tmp_path / "hub") == {"train", "test"}
    assert splits("owner/no_such_set") == set()


def test_the_error_without_network_suggests_local_data():
    with pytest.raises(UserError, match=r"data\.source='owner/no_such_set'.*hub(.|\n)*local data"):
        read("owner/no_such_set")


@pytest.mark.parametrize(("line", "found"), [("a bad film, truly awful,a", 3), ("a bad film", 1)])
def test_rows_with_another_number_of_columns_are_refused(tmp_path, line, found):
    path = tmp_path / "films.csv"
    path.write_text(f"text,label\nfine,b\n{line}\n")
    with pytest.raises(
        UserError, match=f"films.csv, line 3, has {found} values, but the first line names 2 columns"
    ):
        read(path)
