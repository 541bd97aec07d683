import bz2
import gzip

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora import wikimedia
from maskwright.corpora.source import Source

_PAGE = """  <page>
    <title>{title}</title>
    <ns>{ns}</ns>
    <id>{id}</id>{redirect}
    <revision><id>1</id><text xml:space="preserve">{text}</text></revision>
  </page>
"""


def make_dump(*pages) -> bytes:
    """Returns a dump of pages, each given as (title, namespace, whether it is a redirect, text)."""
    body = "".join(
        _PAGE.format(title=t, ns=ns, id=i, redirect=f'\n    <redirect title="{t}" />' if r else "", text=text)
        for i, (t, ns, r, text) in enumerate(pages)
    )
    head = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="en">\n'
    return (head + body + "</mediawiki>\n").encode()


DUMP = make_dump(
    ("Article", 0, False, "'''Article''' is text."),
    ("Other name", 0, True, "#REDIRECT [[Article]]"),
    ("Old redirect", 0, False, "#redirect [[Article]]"),
    ("Article (disambiguation)", 0, False, "'''Article''' may be:\n* [[A]]\n{{disambiguation}}"),
    ("Aa", 0, False, "Rivers: {{Geodis}}"),
    ("Talk:Article", 1, False, "I think so."),
    ("Second", 0, False, "Words &amp; words."),
)


@pytest.mark.parametrize(
    ("name", "pack"), [("a.xml", bytes), ("a.xml.bz2", bz2.compress), ("a.xml.gz", gzip.compress)]
)
def test_articles_of_a_dump_are_read(tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack(DUMP))
    source = Source(str(tmp_path / name), None, "text", "row")
    assert source.find()[0] == "dump"
    assert list(source.read("train")) == ["'''Article''' is text.", "Words & words."]


@pytest.mark.parametrize(
    ("name", "pack"), [("a.xml", bytes), ("a.xml.bz2", bz2.compress), ("a.xml.gz", gzip.compress)]
)
@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_an_incomplete_dump_is_refused(tmp_path, name, pack, keep):
    packed = pack(make_dump(*[(f"Page {i}", 0, False, f"Text {i * 7919}.") for i in range(3000)]))
    (tmp_path / name).write_bytes(packed[: int(len(packed) * keep)])
    with pytest.raises(UserError, match=r"a\.xml.* is cut off or damaged after page \d+"):
        list(wikimedia.read(tmp_path / name))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("{{disambiguation}}", False),
        ("{{Disambiguation|geo}}", False),
        ("{{ hndis | name=x }}", False),
        ("{{Airport disambiguation}}", False),
        ("{{surname}}", False),
        ("He met Smith.{{disambiguation needed|date=May 2010}}", True),
        ("{{Infobox given name|name=Ada}}", True),
        ("{{Use dab style}} Text.", True),
    ],
)
def test_only_disambiguation_pages_are_left_out(tmp_path, text, kept):
    (tmp_path / "a.xml").write_bytes(make_dump(("A", 0, False, text)))
    assert len(list(wikimedia.read(tmp_path / "a.xml"))) == kept


def test_a_glob_of_dumps_is_read_as_dumps(tmp_path):
    for name in ("enwiki-1.xml.bz2", "enwiki-2.xml.bz2"):
        (tmp_path / name).write_bytes(bz2.compress(DUMP))
    source = Source(f"{tmp_path}/enwiki-*.xml.bz2", None, "text", "row")
    assert len(list(source.read("train"))) == 4


def test_other_xml_is_refused(tmp_path):
    (tmp_path / "a.xml").write_text("<html><body>x</body></html>")
    with pytest.raises(UserError, match="no Wikimedia dump: it opens with <html>"):
        list(wikimedia.read(tmp_path / "a.xml"))


def test_markup_is_removed():
    text = wikimedia.plain_text(
        "{{Infobox|name=X}}\n"
        "'''Bold''' and ''italic'' and '''''both''''', with [[link]]s and [[target|labels]].<ref>No.</ref>\n"
        "== History ==\n"
        "=== Early years===\n"
        "* first\n** second\n# third\n"
        "It was ({{lang|el|x}}) here, and (; ) there ({{IPA|y}}, from Greek).\n"
        '{| class="wikitable"\n|-\n! Year !! Count\n|-\n| 1984 || 17\n|}\n'
        "----\n__NOTOC__\n"
        "[[Category:Things]]\n[[File:x.jpg|thumb|A ''caption''.]]\n"
        "The end."
    )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines[0] == "Bold and italic and both, with links and labels."
    assert lines[1:6] == ["History", "Early years", "first", "second", "third"]
    assert lines[-1] == "The end."
    for rest in (
        "''",
        "==",
        "{",
        "}",
        "|",
        "[[",
        "]]",
        "( )",
        "()",
        "NOTOC",
        "Category",
        "<",
        ">",
        "1984",
        "---",
    ):
        assert rest not in text


def test_the_excerpt_that_ships_with_gensim_is_read():
    source = Source(
        "pkg://gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
        None,
        "text",
        "row",
    )
    articles = list(source.read("train"))
    # 106 articles in the article namespace that do not redirect; 8 of them are disambiguation pages
    assert len(articles) == 98
    text = wikimedia.plain_text(articles[0])
    assert text.strip().startswith("Anarchism is a political philosophy")
    assert "'''" not in text
    assert "==" not in text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("{{convert|5|km}} long", "5 km long"),
        ("{{convert|5|to|10|km2|sqmi|abbr=on}}", "5 to 10 km²"),
        ("{{convert|6|ft|2|in}}", "6 ft 2 inches"),
        ("{{cvt|20|C}}", "20 °C"),
        ("in {{lang|fr|le [[chat|petit chat]]}}.", "in le petit chat."),
        ("{{nowrap|{{frac|1|1|2}} {{unknown|x}}cups}}", "1 1/2 cups"),
        ("{{val|5|u=kg}} in {{circa|1500}}", "5 kg in c. 1500"),
        ("{{lang-de|Haus}}{{citation needed|date=May}}", "Haus"),
        ("A{{Infobox|area={{convert|5|km}}}} b", "A b"),
        ("a [[en:Anarchism]] b [[de-at:X]]", "a  b"),
        ("<gallery>\na.jpg|A caption\n</gallery>b<syntaxhighlight lang='c'>a;</syntaxhighlight>", "b"),
        ("[[File:a.jpg|thumb|200px|The [[river]] and the [[sea|ocean]].]]x", "The river and the ocean.\nx"),
        ("[[File:a.jpg|thumb]]x[[File:b.jpg]]", "x"),
    ],
)
def test_templates_blocks_and_captions(markup, text):
    assert wikimedia.plain_text(markup).strip() == text


GERMAN = make_dump(
    ("Haus", 0, False, "Ein Haus.[[Datei:H.jpg|mini|Das [[Haus]] am [[See]].]] [[Kategorie:Bau]][[en:House]]"),
    ("Bank", 0, False, "Bank ist:\n{{Begriffsklärung}}"),
    ("Heim", 0, False, "#WEITERLEITUNG [[Haus]]"),
    ("Liste", 0, False, "# eins [[zwei]]"),
).replace(
    b"  <page>",
    b'<siteinfo><namespaces><namespace key="6">Datei</namespace><namespace key="14">Kategorie</namespace>'
    b"</namespaces></siteinfo>  <page>",
    1,
)


def test_a_dump_in_another_language_is_read_by_its_own_names(tmp_path):
    (tmp_path / "a.xml").write_bytes(GERMAN)
    texts = [wikimedia.plain_text(markup).split() for markup in wikimedia.read(tmp_path / "a.xml")]
    assert texts == [["Ein", "Haus.", "Das", "Haus", "am", "See."], ["eins", "zwei"]]


def test_a_folder_of_dump_parts_is_read(tmp_path):
    for name in ("enwiki-1.xml.bz2", "enwiki-2.xml.bz2"):
        (tmp_path / name).write_bytes(bz2.compress(DUMP))
    source = Source(str(tmp_path), None, "text", "row")
    assert source.find()[0] == "dump"
    assert len(list(source.read("train"))) == 4
