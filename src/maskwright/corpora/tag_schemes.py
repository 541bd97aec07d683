"""How tags of words are spelled: in which scheme, and how each scheme becomes IOB2."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

from maskwright.core.errors import UserError, nearest

Scheme = Literal["prefix", "suffix", "bare", "io", "plain"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
PREFIXES = "BIESLUM"  # IOB (Ramshaw and Marcus, 1995), IOBES, BILOU, BMES
KIND = "entity"  # the kind of tags that name none

_FEW = 100  # a column of more different values than these, and than 1 for 20 words, does not hold tags

_PREFIX = re.compile(rf"([{PREFIXES}])[-_](.+)", re.DOTALL)
_SUFFIX = re.compile(rf"(.+)[-_]([{PREFIXES}])", re.DOTALL)
_JOINS = re.compile(r"[,|;+] ?")


class Iob2(NamedTuple):
    """The tags of a text in IOB2, and what was found in those that they were read from.

    Attributes:
        strays: how many I-, M- and E- tags begin a chunk.
        opened: how many B- and S- tags are not needed to separate two chunks of one kind. In a corpus without any,
            strays are IOB1 and no mistake.
    """

    tags: list[str]
    strays: int
    opened: int


def iob2(tags: Sequence[str]) -> Iob2:
    """Returns the tags of one text as IOB2, whatever scheme of `PREFIXES` they are in.

    A chunk begins where the evaluation script of CoNLL-2000 (Tjong Kim Sang and Buchholz, 2000) lets it begin:
    at B, S or U, after E, L, S or U, and wherever the kind changes.
    """
    out, prefix_before, kind_before = [], "O", ""
    strays = opened = 0
    for tag in tags:
        prefix, kind = ("O", "") if tag == "O" else (tag[0], tag[2:])
        if kind:
            begins = prefix in "BSU" or prefix_before in "ELSU" or kind != kind_before
            strays += begins and prefix not in "BSU"
            opened += prefix in "BSU" and kind != kind_before
            tag = f"{'B' if begins else 'I'}-{kind}"
        out.append(tag)
        prefix_before, kind_before = prefix, kind
    return Iob2(out, strays, opened)


def with_prefix(tag: str, scheme: Scheme) -> str | None:
    """Returns a tag of an entity as a prefix of `PREFIXES`, `-` and a kind, or O; None if it is not of the scheme.

    Args:
        scheme: `prefix` (B-PER, B_PER), `suffix` (PER-B), `bare` (B) or `io` (PER).
    """
    if tag == "O":
        return tag
    match scheme:
        case "prefix":
            found = _PREFIX.fullmatch(tag)
            return f"{found[1]}-{found[2]}" if found else None
        case "suffix":
            found = _SUFFIX.fullmatch(tag)
            return f"{found[2]}-{found[1]}" if found else None
        case "bare":
            return f"{tag}-{KIND}" if tag in tuple(PREFIXES) else None
        case _:
            return f"I-{tag}" if tag else None


def several(tag: str) -> bool:
    """Whether a tag is several tags of entities, joined by a comma, a bar, a semicolon or a plus."""
    parts = _JOINS.split(tag)
    return len(parts) > 1 and any(
        all(with_prefix(part, scheme) for part in parts) for scheme in ("prefix", "suffix", "bare")
    )


def is_iob2(tags: Iterable[str]) -> bool:
    """Whether all tags are O, or B- or I- and a kind."""
    return all(tag == "O" or (tag[:2] in ("B-", "I-") and tag[2:]) for tag in tags)


def check_scheme(scheme: str | None) -> None:
    """Raises a UserError unless `data.scheme` is null or one of `SCHEMES`."""
    if scheme is not None and scheme not in SCHEMES:
        raise UserError(
            f"data.scheme is '{scheme}'.{nearest(scheme, SCHEMES)} It is one of: {', '.join(SCHEMES)}; null finds "
            "it out."
        )


def of_labels(labels: Sequence[str] | None) -> Literal["entities", "plain"] | None:
    """Returns what the names of tags say about their scheme: those of entities are given in IOB2."""
    if not labels or set(labels) == {"O"}:
        return None
    return "entities" if is_iob2(labels) else "plain"


def find_scheme(texts: Iterable[Sequence[str]], labels: Sequence[str] | None = None) -> Scheme:
    """Returns the scheme of a data set by its tags.

    One tag such as B-PER makes it `prefix`. Else all tags beside O must agree: B_PER, PER-B or B. If O is the most
    frequent tag, the others name kinds of entities (`io`); if not, they are no entities (`plain`).

    Args:
        texts: the tags of each text; they are read as far as it takes.
        labels: the tags that may occur; None allows all.
    Raises:
        UserError: words have several tags, joined by commas, or so many different ones that they are none.
    """
    said = of_labels(labels)
    if said == "plain":
        return "plain"
    counts: Counter[str] = Counter()
    for tags in texts:
        counts.update(tags)
        if any(tag[1:2] == "-" and with_prefix(tag, "prefix") for tag in tags):
            return "prefix"
    others = counts.keys() - {"O"}
    if not others:
        return "prefix"
    for scheme in ("prefix", "suffix", "bare"):
        if all(with_prefix(tag, scheme) or several(tag) for tag in others) and (
            scheme != "bare" or others & {"B", "I"}
        ):
            return scheme
    if said == "entities" or counts["O"] > max(counts[tag] for tag in others):
        return "io"
    _check_plain(counts)
    return "plain"


def _check_plain(counts: Counter[str]) -> None:
    """Refuses what are probably no tags, by how often each occurs."""
    words = counts.total()
    if len(counts) > _FEW and len(counts) > words / 20:
        shown = ", ".join(sorted(counts)[:3])
        raise UserError(
            f"data.tags chooses a column of {len(counts):,} different values ({shown}, …) among {words:,} words, "
            "which are no tags. Choose another column, or set data.scheme=plain."
        )
    parts = {tag: _JOINS.split(tag) for tag in counts}
    joined = [tag for tag, own in parts.items() if len(own) > 1 and all(part in counts for part in own)]
    if sum(counts[tag] for tag in joined) > words / 100:  # in the Penn Treebank a few words have two, as in NN|SYM
        raise UserError(
            f"There are words with several tags, joined as in '{joined[0]}' (data.tags), but one tag for each word "
            "is learned. Keep one of them, choose another column, or set data.scheme=plain to take them for tags."
        )
