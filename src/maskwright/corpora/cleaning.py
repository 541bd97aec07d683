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
    """Replaces tags and comments by a blank: `one<br />two` is two words."""
    return _TAG.sub(" ", text) if "<" in text else text


def html_entities(text: str) -> str:
    """Replaces `&amp;` by `&`, and `&#233;` by `é`."""
    return html.unescape(text) if "&" in text else text


def control_characters(text: str) -> str:
    """Removes control, zero-width, direction and replacement characters; tabs and line ends stay."""
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


def cleaner(names: Sequence[str]) -> Callable[[str], str]:
    """Returns one function that applies the named steps in order.

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
