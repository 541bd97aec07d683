"""Named steps that clean a document, applied in the order of `data.cleaning`."""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence

from maskwright.core.errors import UserError, nearest

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<!--.*?-->", re.DOTALL)
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufffd]"
)
_WIKITEXT_JOIN = re.compile(r" @([-,.])@ ")


def html_tags(text: str) -> str:
    """Tags and comments become a blank: `one<br />two` is two words."""
    return _TAG.sub(" ", text) if "<" in text else text


def html_entities(text: str) -> str:
    """`&amp;` becomes `&`, `&#233;` becomes `é`."""
    return html.unescape(text) if "&" in text else text


def control_characters(text: str) -> str:
    """Drops control, zero-width, direction and replacement characters; tabs and line ends stay."""
    return _CONTROL.sub("", text)


def unicode_nfc(text: str) -> str:
    """Composes letters and accents (NFC); what looks alike stays distinct."""
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def unicode_nfkc(text: str) -> str:
    """Composes, and folds compatibility forms such as `ﬁ` and full-width letters (NFKC)."""
    return text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)


def whitespace(text: str) -> str:
    """One blank for a run of blanks, one line end for a run of line ends, none at either end."""
    return "\n".join(filter(None, (" ".join(line.split()) for line in text.split("\n"))))


def wikitext_joins(text: str) -> str:
    """WikiText's ` @-@ `, ` @,@ ` and ` @.@ ` become the marks that they stand for."""
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


def cleaner(names: Sequence[str]) -> Callable[[str], str]:
    """One function that applies the named steps in order.

    Raises:
        UserError: a name is not a step.
    """
    for name in names:
        if name not in STEPS:
            raise UserError(
                f"data.cleaning names the step '{name}', which does not exist.{nearest(name, STEPS)} "
                f"The steps are: {', '.join(STEPS)}."
            )
    steps = [STEPS[name] for name in names]

    def clean(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return clean
