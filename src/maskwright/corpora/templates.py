"""Templates of wiki markup that stand for text: `{{convert|5|km}}` is "5 km"."""

import re
from collections.abc import Callable

_INNERMOST = re.compile(r"\{\{([^{}]*)\}\}")
_BAR = re.compile(r"\|(?![^\[\]]*\]\])")  # but not in a link
_NAMED = re.compile(r"\s*([\w -]+?)\s*=\s*(?!=)")
_DEEPEST = 20  # templates in templates

_UNITS = {"C": "°C", "F": "°F", "km2": "km²", "m2": "m²", "cm2": "cm²", "m3": "m³", "km3": "km³", "sqmi": "sq mi"}
_UNITS |= {"sqft": "sq ft", "sqkm": "km²", "cuft": "cu ft", "kph": "km/h", "km/h": "km/h", "acre": "acres"}
_UNITS |= {"mi": "miles", "nmi": "nautical miles", "in": "inches", "ft2": "sq ft", "mi2": "sq mi", "ha": "hectares"}
_RANGES = {
    "to": "to",
    "-": "–",
    "–": "–",
    "and": "and",
    "or": "or",
    "x": "×",
    "by": "by",
    "+/-": "±",
    "to(-)": "to",
}


def expand(markup: str) -> str:
    """Returns markup with templates replaced by their text, from the inside out; all others are removed."""
    for _ in range(_DEEPEST):
        text = _INNERMOST.sub(_text_of, markup)
        if text == markup:
            break
        markup = text
    return markup


def arguments(inside: str) -> list[str]:
    """Returns what bars separate, those inside of links left out."""
    return _BAR.split(inside)


def _text_of(template: re.Match[str]) -> str:
    name, *given = arguments(template[1])
    name = name.strip().replace("_", " ").lower()
    if name.startswith("formatnum:"):
        return name.removeprefix("formatnum:").strip()
    named: dict[str, str] = {}
    values: list[str] = []
    for argument in given:
        if key := _NAMED.match(argument):
            named[key[1]] = argument[key.end() :].strip()
        else:
            values.append(argument.strip())
    values = [*values, *(named[number] for number in ("1", "2", "3") if number in named)]
    if name in _WORDS:
        return _WORDS[name]
    if name.startswith(("lang-", "script/", "wikt-lang")):
        return values[0] if values else ""
    if name in _FORMS and values:
        return _FORMS[name](values, named)
    return ""


def _convert(values: list[str], named: dict[str, str]) -> str:
    """A number, or several with words of a range between them, and a unit; or feet and inches."""
    words, rest = [values[0]], values[1:]
    while len(rest) > 1 and rest[0] in _RANGES:
        words += [_RANGES[rest[0]], rest[1]]
        rest = rest[2:]
    if rest:
        words.append(_UNITS.get(rest[0], rest[0]))
    if len(rest) > 2 and rest[1][:1].isdigit() and rest[2] in ("in", "oz", "lb"):
        words += [rest[1], _UNITS.get(rest[2], rest[2])]
    return " ".join(words)


def _fraction(values: list[str], named: dict[str, str]) -> str:
    if len(values) == 1:
        return f"1/{values[0]}"
    return " ".join([*values[:-2], f"{values[-2]}/{values[-1]}"])


def _value(values: list[str], named: dict[str, str]) -> str:
    power = f"×10^{named['e']}" if "e" in named else ""
    error = f" ± {values[1]}" if len(values) > 1 else ""
    unit = named.get("u") or named.get("ul")
    return f"{values[0]}{error}{power}" + (f" {unit}" if unit else "")


def _first(values: list[str], named: dict[str, str]) -> str:
    return values[0]


def _angled(values: list[str], named: dict[str, str]) -> str:
    return f"⟨{values[0]}⟩"


def _last(values: list[str], named: dict[str, str]) -> str:
    return values[-1]


def _second(values: list[str], named: dict[str, str]) -> str:
    return values[1] if len(values) > 1 else ""


def _joined(between: str, before: str = "") -> Callable[[list[str], dict[str, str]], str]:
    return lambda values, named: before + between.join(filter(None, values))


def _with_original(values: list[str], named: dict[str, str]) -> str:
    rest = ", ".join(filter(None, values[1:3]))
    return f"{values[0]} ({rest})" if rest and values[0] else values[0] or rest


_WORDS = {"ndash": "–", "mdash": "—", "snd": " – ", "spaced ndash": " – ", "spnd": " – ", "nbsp": " ", "'": "'"}
_WORDS |= {"pi": "π", "co2": "CO2", "h2o": "H2O", "okina": "ʻ", "okina/": "ʻ", "--": "—", "en dash": "–", "!": "|"}
_WORDS |= {"em dash": "—", "·": " · ", "dot": " · ", "•": " • ", "-": "", "euro": "€", "=": "=", "break": "\n"}

_FORMS: dict[str, Callable[[list[str], dict[str, str]], str]] = (
    dict.fromkeys(("convert", "cvt"), _convert)
    | dict.fromkeys(("frac", "sfrac", "fraction"), _fraction)
    | dict.fromkeys(("val",), _value)
    | dict.fromkeys(
        (
            *(
                "nowrap",
                "nobr",
                "nobold",
                "small",
                "smaller",
                "big",
                "sc",
                "smallcaps",
                "em",
                "strong",
                "abbr",
                "var",
            ),
            *("unicode", "polytonic", "hebrew", "iast", "math", "mvar", "vanchor", "visible anchor", "ill", "lien"),
            *("quote", "blockquote", "cquote", "quotation", "zitat", "bq", "flag", "flagcountry", "term", "defn"),
            *("sup", "sub", "underline", "not a typo", "sic", "spelled in", "linktext", "nowrap begin", "gr"),
            *("keypress", "kbd", "key press", "mv", "ipa", "ipa link", "ipalink", "ipablink", "vr"),
        ),
        _first,
    )
    | dict.fromkeys(("angbr", "angle bracket", "angbr ipa"), _angled)
    | dict.fromkeys(("lang", "audio", "pronunciation", "lang2"), _second)
    | dict.fromkeys(("transl", "transliteration", "color", "colour", "font color", "abbrlink"), _last)
    | dict.fromkeys(("circa", "c.", "ca."), _joined("–", "c. "))
    | dict.fromkeys(("floruit", "fl."), _joined("–", "fl. "))
    | dict.fromkeys(("reign", "r."), _joined("–", "r. "))
    | dict.fromkeys(("as of",), _joined(" ", "As of "))
    | dict.fromkeys(("us$", "usd"), _joined("", "US$"))
    | dict.fromkeys(("gbp", "£"), _joined("", "£"))
    | dict.fromkeys(("uss",), _joined(" ", "USS "))
    | dict.fromkeys(("hms",), _joined(" ", "HMS "))
    | dict.fromkeys(("chem", "chem2", "gaps"), _joined(""))
    | dict.fromkeys(("unité", "nb", "sortname"), _joined(" "))
    | dict.fromkeys(("nihongo", "zh", "korean"), _with_original)
)
