import bz2
import gzip

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora import wikimedia
from maskwright.corpora.found import find
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
        ("[[Image:a.jpg|thumb|alt=An [[x]]|Of [[a]] and [[b|{{lang|fr|c}}]].<ref>d</ref>]]x", "Of a and c.\nx"),
        ("<gallery mode=packed>\nFile:a.jpg|A [[b]] c\n</gallery>Text", "Text"),
        ('<syntaxhighlight lang="c">\nif (a < b) [[x]] {{y}}\n</syntaxhighlight>b <source>x</source>', "b"),
        ("The value <math>a_{1}^{{2}} < b</math>, here.", "The value, here."),
        ('a<ref name=x/>b<ref name="y">{{cite|a=[[B|c]]|d={{e|f}}}}</ref>c<ref group=n name=a/b />d', "abcd"),
        ("{|\n| a [[b|c]]\n{| class=y\n| inner || two\n|}\n| after\n|}\nText.", "Text."),
        ("{{Infobox\n| t = {|\n|a\n|}\n}}\nText", "Text"),
        ("{|\n! no end\n\nText", "no end\n\nText"),
        ("-{zh-hans:计算机;zh-hant:電腦}-和-{字}-", "计算机和字"),
        ("-{H|zh-cn:a;zh-tw:b}-文-{T|zh-cn:a}-", "文"),
        ("{{lang|ja|日本}} and {{lang-fr|[[Paris|la ville]]}}", "日本 and la ville"),
        ("{{convert|1,000|m|ft|0}} by {{convert|5|x|6|m}}", "1,000 m by 5 × 6 m"),
        ("the letter {{angbr|a}} and {{keypress|[[Control|Ctrl]]}}", "the letter ⟨a⟩ and Ctrl"),
        ("See [[:fr:Maison]].[[be-x-old:Z]][[zh-min-nan:Y]]", "See Maison."),
        ("a {{unclosed b [[x]] text", "a unclosed b x text"),
        ("__БЕЗ_ОГЛ__a (; ; 14 March)", "a (14 March)"),
    ],
)
def test_templates_blocks_and_captions(markup, text):
    assert wikimedia.plain_text(markup).strip() == text


# the namespaces of files (and another name of it) and of categories, the word of redirects, the template of
# disambiguation pages, and a thumbnail
LANGUAGES = {
    "de": ("Datei", "Bild", "Kategorie", "WEITERLEITUNG", "Begriffsklärung", "mini"),
    "fr": ("Fichier", "Image", "Catégorie", "REDIRECTION", "Homonymie", "vignette"),
    "es": ("Archivo", "Imagen", "Categoría", "REDIRECCIÓN", "desambiguación", "miniatura"),
    "it": ("File", "Immagine", "Categoria", "RINVIA", "disambigua", "miniatura"),
    "ru": ("Файл", "Изображение", "Категория", "перенаправление", "Неоднозначность", "мини"),
    "ja": ("ファイル", "画像", "Category", "転送", "曖昧さ回避", "サムネイル"),
    "zh": ("File", "图像", "分类", "重定向", "消歧义页", "缩略图"),
    "ar": ("ملف", "صورة", "تصنيف", "تحويل", "توضيح", "تصغير"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_dump_in_another_language_is_read_by_its_own_names(tmp_path, language):
    file, alias, category, redirect, template, thumb = LANGUAGES[language]
    names = f'<siteinfo><namespaces><namespace key="6">{file}</namespace><namespace key="14">{category}</namespace>'
    pages = make_dump(
        ("A", 0, False, f"B.[[{file}:H.jpg|{thumb}|C [[d]] e [[f|g]].]] [[{category}:Bau]][[en:House]]"),
        ("English names", 0, False, f"X.[[File:H.jpg|{thumb}]] [[{alias}:a.png]] [[Category:Bau]]"),
        ("Meanings", 0, False, f"Y:\n* [[a]]\n{{{{{template}}}}}"),
        ("Old redirect", 0, False, f"#{redirect} [[A]]"),
        ("Redirect in English", 0, False, "#REDIRECT [[A]]"),
        ("List", 0, False, "# one [[two]]"),
    )
    head = f"{names}</namespaces></siteinfo>  <page>".encode()
    (tmp_path / "a.xml").write_bytes(pages.replace(b"  <page>", head, 1))
    texts = [wikimedia.plain_text(markup).split() for markup in wikimedia.read(tmp_path / "a.xml")]
    assert texts == [["B.", "C", "d", "e", "g."], ["X."], ["one", "two"]]


@pytest.mark.parametrize("name", ["", "/*"])
def test_a_folder_of_dump_parts_is_read_without_its_lists(tmp_path, name):
    parts = ["enwiki-1-pages-articles1.xml-p1p41242.bz2", "enwiki-1-pages-articles2.xml-p41243p151573.bz2"]
    lists = ["enwiki-1-pages-articles-multistream-index.txt.bz2", "md5sums.txt"]
    lists += ["enwiki-1-pages-articles-multistream-index1.txt-p1p41242.bz2"]
    for part in parts:
        (tmp_path / part).write_bytes(bz2.compress(DUMP))
    for other in lists:
        (tmp_path / other).write_bytes(bz2.compress(b"600:10:Article\n"))
    found = find(f"{tmp_path}{name}", False, None)
    assert found.kind == "dump"
    assert [path.name for path in found.files] == parts
    assert {path.name for path in found.unread} == {*lists}
    assert len(list(Source(f"{tmp_path}{name}", None, "text", "row").read("train"))) == 4
