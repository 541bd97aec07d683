"""Named steps that clean a document, applied in the order of `data.cleaning`."""

import html
import html.entities
import re
import unicodedata
from collections.abc import Callable, Sequence

from maskwright.core.errors import UserError, nearest

_ELEMENTS = (  # of HTML, those that were dropped from it included, and the tags that wikis add
    "a abbr acronym address applet area article aside audio b base basefont bdi bdo big blink blockquote body "
    "br button canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div "
    "dl dt em embed fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header "
    "hgroup hr html i iframe img input ins kbd label legend li link main map mark marquee menu meta meter nav "
    "nobr noframes noscript object ol optgroup option output p param picture pre progress q rb rp rt rtc ruby "
    "s samp script section select small source span strike strong style sub summary sup svg table tbody td "
    "template textarea tfoot th thead time title tr track tt u ul var video wbr noinclude includeonly "
    "onlyinclude nowiki poem ref references"
).split()
_FLAGS = (
    "async autofocus checked compact controls defer disabled hidden ismap multiple nohref noshade nowrap selected"
)
_VALUE = r"""(?:"[^"<]{0,2000}"|'[^'<]{0,2000}'|[^\s"'<>=`]{1,2000})"""
_ATTRIBUTE = rf"\s+(?:[\w:@.-]{{1,60}}\s*=\s*{_VALUE}|(?:{'|'.join(_FLAGS.split())})(?=[\s/>]))"
_TAG = re.compile(
    rf"<(?:/(?:{'|'.join(_ELEMENTS)})\s*|(?:{'|'.join(_ELEMENTS)})(?:{_ATTRIBUTE}){{0,40}}\s*/?\s*)>"
    r"|<!--(?:(?!-->).){0,5000}-->|<!doctype [^<>]{1,200}>",
    re.DOTALL | re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|([A-Za-z][A-Za-z0-9]{1,31}));")
# joiners (U+200C, U+200D) stay: words of Persian and Hindi, and emoji, are spelled with them
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufffd]"
)
_WIKITEXT_JOIN = re.compile(r" @([-,.])@ ")


def html_tags(text: str) -> str:
    """Replaces tags of HTML and comments by a blank: `one<br />two` is two words.

    What is no tag stays, such as `a<b and c>d`: tags have the name of an element, and well-formed attributes.
    """
    return _TAG.sub(" ", text) if "<" in text else text


def html_entities(text: str) -> str:
    """Replaces `&amp;` by `&`, and `&#233;` by `é`; what has no `;` stays, as in `?a=1&section=2`."""
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(entity: re.Match[str]) -> str:
    known = entity[1] is None or f"{entity[1]};" in html.entities.html5
    return html.unescape(entity[0]) if known else entity[0]


def control_characters(text: str) -> str:
    """Removes control, direction and replacement characters, soft hyphens and zero-width blanks.

    Tabs, line ends and joiners stay.
    """
    return _CONTROL.sub("", text)


def unicode_nfc(text: str) -> str:
    """Composes letters and accents (NFC); characters that only look alike stay distinct."""
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def unicode_nfkc(text: str) -> str:
    """Composes letters and accents, and replaces compatibility forms such as `ﬁ` and full-width letters (NFKC)."""
    return text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)


def whitespace(text: str) -> str:
    """Replaces runs of blanks by one blank, and runs of line ends by one line end; removes those at both ends."""
    return "\n".join(filter(None, (" ".join(line.split()) for line in text.split("\n"))))


def wikitext_joins(text: str) -> str:
    """Replaces ` @-@ `, ` @,@ ` and ` @.@ ` of WikiText by the characters that they represent."""
    return _WIKITEXT_JOIN.sub(r"\1", text)


STEPS: dict[str, Callable[[str], str]] = {
    step.__name__: step
    for step in (
        html_tags,
        html_entities,
        control_characters,
        unicode_nfc,
        unicode_nfkc,
        whitespace,
        wikitext_joins,
    )
}


class Cleaner:
    """Applies the named steps in order.

    Attributes:
        lost: how many characters were removed that are neither markup, nor spelled otherwise, nor white space.
    Raises:
        UserError: a name is not a step.
    """

    def __init__(self, names: Sequence[str]):
        for name in names:
            if name not in STEPS:
                raise UserError(
                    f"data.cleaning names the step '{name}', which does not exist.{nearest(name, STEPS)} "
                    f"The steps are: {', '.join(STEPS)}."
                )
        self.steps = [STEPS[name] for name in names]
        self.lost = 0

    def __call__(self, text: str) -> str:
        for step in self.steps:
            before, text = len(text), step(text)
            if step is control_characters:
                self.lost += before - len(text)
        return text
