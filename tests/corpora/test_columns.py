"""Files of columns, in the shapes that people have them."""

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora import columns
from maskwright.corpora.labels import Spelling, Tagged
from maskwright.corpora.source import Source
from tests.corpora.compressions import COMPRESSIONS

CONLL_U = """\
# sent_id = 1
# text = Vámonos al mar
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\tV\t_\t0\troot\t_\tO
2\tnos\tnos\tPRON\tP\t_\t1\tobj\t_\tO
3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_
3\ta\ta\tADP\tS\t_\t5\tcase\t_\tO
4\tel\tel\tDET\tD\t_\t5\tdet\t_\tO
5\tMar\tmar\tNOUN\tN\t_\t1\tobl\t_\tB-LOC
5.1\tvacío\t_\t_\t_\t_\t_\t_\t_\t_

# newdoc
1\tHola\thola\tINTJ\tI\t_\t0\troot\t_\tO
"""
MISC = CONLL_U.replace("\tO\n", "\t_\n").replace("\tB-LOC\n", "\tSpaceAfter=No\n")
GERMEVAL = """\
#\thttp://example.org/1 [2009-10-17]
1\tUni\tB-ORG\tO
2\tKöln\tI-ORG\tB-LOC
3\tgewann\tO\tO

#\thttp://example.org/2 [2009-10-18]
1\tHeute\tO\tO
"""
PLUS = "# global.columns = ID FORM NER\n1\tAda\tB-PER\n2\tKing\tI-PER\n\n# newdoc id = 2\n1\tschrieb\tO\n"
FOUR = "Ada NNP B-NP I-PER\nwrote VBD B-VP O\n"

IR = ["Vamos", "nos", "a", "el", "Mar"]


def read(tmp_path, text, name="data.conll", scheme=None, **choices) -> list[Tagged]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return list(columns.read(path, Spelling(scheme=scheme), **choices))


@pytest.mark.parametrize(
    ("text", "choices", "words", "tags"),
    [
        (CONLL_U, {}, [IR, ["Hola"]], [["O", "O", "O", "O", "B-LOC"], ["O"]]),
        (CONLL_U, {"tags": "ner_tags", "column": "tokens"}, [IR, ["Hola"]], [["O"] * 4 + ["B-LOC"], ["O"]]),
        (MISC, {"tags": "UPOS"}, [IR, ["Hola"]], [["VERB", "PRON", "ADP", "DET", "NOUN"], ["INTJ"]]),
        (MISC, {"tags": "xpos", "column": 3}, [["ir", "nos", "a", "el", "mar"], ["hola"]], [list("VPSDN"), ["I"]]),
        (MISC, {"tags": -6}, [IR, ["Hola"]], [list("VPSDN"), ["I"]]),
        (
            GERMEVAL,
            {"column": 2, "tags": 3},
            [["Uni", "Köln", "gewann"], ["Heute"]],
            [["B-ORG", "I-ORG", "O"], ["O"]],
        ),
        (
            GERMEVAL,
            {"column": "2", "tags": "-1"},
            [["Uni", "Köln", "gewann"], ["Heute"]],
            [["O", "B-LOC", "O"], ["O"]],
        ),
        (PLUS, {"tags": "NER"}, [["Ada", "King"], ["schrieb"]], [["B-PER", "I-PER"], ["O"]]),
        (PLUS, {}, [["Ada", "King"], ["schrieb"]], [["B-PER", "I-PER"], ["O"]]),
        (FOUR, {}, [["Ada", "wrote"]], [["I-PER", "O"]]),
        (FOUR, {"tags": "pos_tags"}, [["Ada", "wrote"]], [["NNP", "VBD"]]),
        (FOUR, {"tags": 3}, [["Ada", "wrote"]], [["B-NP", "B-VP"]]),
        ("Word\tPOS\tNER\nAda\tNNP\tB-PER\n", {}, [["Ada"]], [["B-PER"]]),
        ("Word\tNER\tPOS\nAda\tB-PER\tNNP\n", {"tags": "tags"}, [["Ada"]], [["B-PER"]]),
        ("Word\tPOS\tNER\nAda\tNNP\tB-PER\n", {"tags": "pos"}, [["Ada"]], [["NNP"]]),
        ("Wort\tKlasse\tRest\nAda\tNE\tx\n", {"column": "Wort", "tags": "Klasse"}, [["Ada"]], [["NE"]]),
        ("Ada B-PER\nwrote O\n", {"tags": "any_name", "column": "words"}, [["Ada", "wrote"]], [["B-PER", "O"]]),
        # a word that is # is no comment
        ("# O\nTrump B-PER\n\n#MeToo O\n", {}, [["#", "Trump"], ["#MeToo"]], [["O", "B-PER"], ["O"]]),
        ("# text = a b\na O\nb O\n# a note on c\nc O\n", {}, [["a", "b", "c"]], [["O", "O", "O"]]),
        ("#begin document (x); part 000\nAda O\n\n#end document\n", {}, [["Ada"]], [["O"]]),
        ("Ada\tO\r\nwrote\tO\r\n\r\nLatin\tO\r\n", {}, [["Ada", "wrote"], ["Latin"]], [["O", "O"], ["O"]]),
        ("B-PER\tAda\nO\twrote\n", {"column": 2, "tags": 1}, [["Ada", "wrote"]], [["B-PER", "O"]]),
        ("-DOCSTART-\n\nNew York\tO\n", {}, [["New York"]], [["O"]]),
        ("Ada\nwrote\n\nLatin\n", {}, [["Ada", "wrote"], ["Latin"]], [None, None]),
    ],
)
def test_words_and_tags_are_those_of_the_chosen_columns(tmp_path, text, choices, words, tags):
    found = read(tmp_path, text, scheme="plain", **choices)
    assert [own.words for own in found] == words
    assert [own.tags for own in found] == tags


def test_comments_open_documents(tmp_path):
    assert [own.opens_document for own in read(tmp_path, CONLL_U)] == [True, True]
    assert [own.opens_document for own in read(tmp_path, CONLL_U.replace("# newdoc", "# other"))] == [True, False]


@pytest.mark.parametrize(
    ("text", "choices", "message"),
    [
        (GERMEVAL, {"tags": 3}, r"numbers alone in its column 1 \(data\.column\).*1: 1, 2: Uni.*data\.column=2"),
        ("B-PER\tAda\nO\twrote\n", {}, r"tags in its column 1 \(data\.column\).*data\.column=2 data\.tags=1"),
        (GERMEVAL, {"column": 2, "tags": 5}, r"data\.tags=5, but .* has 4 columns: 1 to 4, or -1 for the last"),
        (GERMEVAL, {"column": 0, "tags": 3}, r"data\.column=0, but .* has 4 columns"),
        (MISC, {"tags": "UPO"}, r"no column 'UPO' \(data\.tags\)\. Did you mean 'UPOS'.*ID, FORM, LEMMA"),
        (MISC, {}, r"is CoNLL-U, and its last column, MISC, holds no tags of entities but '_'.*data\.tags=UPOS"),
        (GERMEVAL, {"column": 2, "tags": "pos_tags"}, r"data\.tags=pos_tags, but the columns of .* have no names"),
        (
            "a b c d e\nf g h i j\n",
            {"tags": "pos_tags"},
            r"data\.tags=pos_tags, but the columns of .* have no names.*2: b",
        ),
        ("Ada\tB-PER\nwrote\n", {}, "line 2, holds 'wrote' alone"),
        ("Ada\nwrote O\nin O\n", {}, "line 1, holds 'Ada' alone"),
        ("Ada B-PER,B-LOC\n", {}, r"line 1, has several tags, joined as in 'B-PER,B-LOC' \(data\.tags\)"),
        ("Ada O|B-LOC\n", {}, "line 1, has several tags"),
    ],
)
def test_what_cannot_be_read_says_which_key_helps(tmp_path, text, choices, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, text, **choices)


def test_a_file_without_empty_lines_is_cut_into_sentences(tmp_path):
    found = read(tmp_path, "Ada B-PER\nwrote O\nnotes O\n. O\n" * 100)
    assert len(found) == 100
    assert sum(own.cut for own in found) == 99
    assert len(read(tmp_path, "Mr. O\n. O\nAda O\n")) == 1  # one sentence may hold full stops


@pytest.mark.parametrize("ending", ["conll", "conllu", "bio", "iob", "iob2", "tsv", "txt", "train", "BIO"])
def test_files_of_columns_are_known_by_their_endings(tmp_path, ending):
    path = tmp_path / f"train.{ending}"
    path.write_text("Ada\tB-PER\nwrote\tO\n\n" * 3)
    for source in (path, tmp_path):
        [first, *_] = Source(str(source), None, "tokens", "row", "ner_tags").read("train")
        assert (first.words, first.tags) == (["Ada", "wrote"], ["B-PER", "O"])


def test_documents_beside_the_data_are_left_out(tmp_path):
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.txt").write_text("Ada B-PER\nwrote O\n\n" * 3)
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Names")
    (tmp_path / "LICENSE").write_text("Do what you like.\n")
    (tmp_path / "notes.txt").write_text("Ask Ada about the rest.\nThen train.\n")
    (tmp_path / "guidelines.txt").write_text("Names of people are PER.\nOthers, too, are PER.\n\nAll else is O.\n")
    source = Source(str(tmp_path), None, "tokens", "row", "ner_tags")
    kind, paths = source.find()
    assert (kind, [path.name for path in paths]) == ("columns", ["dev.txt", "test.txt", "train.txt"])
    assert source.splits() == {"train", "validation", "test"}
    assert source.left_out()["unread"] == ["guidelines.txt", "notes.txt"]


ROWS = "Ada\tB-PER\nging\tO\n\nMüller\tB-PER\nschlief\tO\n"


@pytest.mark.parametrize("name", ["train.conll", "train.BIO", "train.tsv", "train.txt"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_compressed_columns_are_read(tmp_path, name, compression):
    path = tmp_path / f"{name}.{compression}"
    content = COMPRESSIONS[compression](ROWS.encode())
    path.write_bytes(content)
    for source in (path, tmp_path, f"{tmp_path}/*"):
        found = Source(str(source), None, "tokens", "row", "ner_tags")
        assert found.find() == ("columns", [path])
        assert [text.words for text in found.read("train")] == [["Ada", "ging"], ["Müller", "schlief"]]
    path.write_bytes(content[:-12])
    with pytest.raises(UserError, match="cannot be read to its end"):
        list(Source(str(path), None, "tokens", "row", "ner_tags").read("train"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "cp1252", "utf-16-le"])
@pytest.mark.parametrize("name", ["train.conll", "train.txt"])
def test_columns_are_read_in_any_encoding(tmp_path, name, encoding):
    (tmp_path / name).write_bytes(ROWS.encode(encoding))
    given = encoding if encoding in ("cp1252", "utf-16-le") else None
    for source in (tmp_path / name, tmp_path):
        found = Source(str(source), None, "tokens", "row", "ner_tags", encoding=given)
        assert [text.words for text in found.read("train")] == [["Ada", "ging"], ["Müller", "schlief"]]
    if given == "cp1252":
        for source in (tmp_path / name, tmp_path):
            with pytest.raises(UserError, match=rf"{name} is not UTF-8: the byte at offset 19 .*data\.encoding"):
                list(Source(str(source), None, "tokens", "row", "ner_tags").read("train"))
