"""Pages that list what a word may mean: by their templates, whose names differ by language."""

import re

# mostly `disambiguationTemplates` of older versions of families/wikipedia_family.py of pywikibot (later ones ask
# the live wiki), without names of one or two letters that are other templates elsewhere, as `Des` of Spanish
_NAMES = {
    "ar": "توضيح",
    "ca": "desambiguació|desambigua",
    "cs, sk": "rozcestník(?: - [^|{}]+)?|rozlišovacia stránka",
    "da, no, nn": "flertydig|peker|pekerside|peikar|fleirtyding|t(?:re|o)bokstavsforkortelse",
    "de, als, bar": "begriffsklärung|bks",
    "el": "αποσαφήνιση|αποσαφ",
    "eo": "apartigilo",
    "es, gl, pt": "desambiguaci[óo]n|desambig|homónimos|desambiguação",
    "et": "täpsustuslehekülg|täpsustus",
    "eu": "argipen",
    "fa": "ابهام[ \u200c]?زدایی",
    "fi": "täsmennyssivu",
    "fr": r"homonymie(?: [^|{}]+)?|homonymes|\w+ homonymes|paronymie|patronyme",
    "he": "פירושונים",
    "hi": "बहुविकल्पी शब्द",
    "hu": "egy[ée]rt|egyért-redir",
    "id, ms": "disambiguasi|nyahkekaburan",
    "it, nap, scn": "disambigua|sigla[234]|cogni",
    "ja": "aimai|曖昧さ回避",
    "ko": "동음이의|동음이의어",
    "nl": "doorverwijspagina|dp|dp2|dpintro|dp cognomen",
    "pl": "ujednoznacznienie|strona ujednoznaczniająca|disambig(?:rulers|c)",
    "ro": "dezambiguizare|dezamb",
    "ru, bg, be, uk": "неоднозначность|многозначность|пояснение|неадназначнасць|неоднозначність|багатозначність",
    "sr, hr, bs": "вишезначна одредница|višeznačna odrednica|razdvojba|čvor",
    "sv": "betydelselista|förgrening|förgreningssida|grensida|gren|gaffel|trebokstavsförkortning",
    "th": "แก้กำกวม|คำกำกวม",
    "tr": r"anlam ayrımı?|[^|{}]+ \(anlam ayrımı\)",
    "vi": "(?:trang )?định hướng",
    "zh": "消歧义|消歧义页|消歧義|消歧義頁|搞清楚|letter disambig",
}
_TEMPLATE = re.compile(  # but {{disambiguation needed}} and {{Infobox given name}} occur in articles
    r"\{\{\s*(?:(?:(?!infobox)[\w-]+ ){0,2}(?:disambiguation(?: page)?|disambig|disamb|dab|hndis|geodis)"
    rf"|surname|given name|{'|'.join(_NAMES.values())})\s*(?:\||\}}\}})",
    re.IGNORECASE,
)


def is_disambiguation(markup: str) -> bool:
    """Whether a page lists what a word may mean, or people of one name."""
    return "__DISAMBIG__" in markup or _TEMPLATE.search(markup) is not None
