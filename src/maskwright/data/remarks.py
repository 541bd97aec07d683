"""What a user should know about a corpus before a model is trained on it."""

import numpy as np

from maskwright.core.errors import UserError
from maskwright.corpora.findings import Findings
from maskwright.corpora.listing import OTHER
from maskwright.corpora.recipe import Recipe, SourceRecipe, key_of
from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokens import Tokens

_NAMED = 5  # added words that are told
_FEW = 0.001  # a share below it is not told
_FEW_REMOVED = 0.05  # of characters; tags of HTML are removed rightly, such as the 2 % of IMDb's reviews


def check_learnable(tokens: Tokens, tokenizer: Tokenizer) -> None:
    """Checks that the training split has tokens to learn from.

    Raises:
        UserError: all are special tokens, of which [UNK] is one.
    """
    counts = tokens.counts
    if counts.sum() and not counts[~tokenizer.is_special[: len(counts)]].sum():
        raise UserError(
            "Nothing is left to learn: the tokenizer knows no character of the training texts, all whose tokens "
            "are unknown. Take tokenizer=bpe, which knows every character, or a tokenizer of their language."
        )


def remarks_on(
    recipe: Recipe, findings: dict[str, Findings], tokens: dict[str, Tokens], unknown: int | None = None
) -> list[str]:
    """Returns one sentence for each thing that a user may not expect.

    Args:
        findings: of each source, by the names of `recipe.sources`.
        tokens: by split.
        unknown: the id of [UNK]; None where the tokenizer has none.
    """
    lost = []
    remarks = []
    for name, source in recipe.sources.items():
        prefix = f"{name}: " if name else ""
        lost += [f"{prefix}{part}" for part in _lost_in_reading(key_of(name), source, findings[name])]
        remarks += [f"{prefix}{remark}" for remark in _on_source(key_of(name), source, findings[name])]
    lost += _lost_in_tokens(tokens, unknown)
    return [f"text lost: {', '.join(lost)}", *remarks] if lost else remarks


def remarks_on_extension(tokenizer: Tokenizer, asked: int) -> list[str]:
    """Returns which words were added to a tokenizer, and what they save, as one sentence.

    Args:
        asked: how many were asked for.
    """
    extension = tokenizer.extension
    if extension is None:
        return [f"tokenizer.extend={asked} adds nothing: no word of the training texts has several tokens"]
    number = len(extension.pieces)
    words = [tokenizer.decode([extension.first + i]).strip() for i in range(min(number, _NAMED))]
    few = f" of the {asked:,} asked for" if number < asked else ""
    share = extension.saved / max(extension.total, 1)
    return [
        f"{number:,} words{few} were added to the tokenizer ({', '.join(words)}, …); the training texts have "
        f"{share:.1%} fewer tokens"
    ]


def _lost_in_reading(key: str, source: SourceRecipe, found: Findings) -> list[str]:
    """Returns what was lost of a source before there were tokens, a few words each."""
    parts = []
    if found.lost > _FEW * found.characters:
        parts.append(f"{found.lost / found.characters:.1%} of characters in cleaning ({key}.cleaning)")
    elif found.removed > _FEW_REMOVED * found.characters:
        share = found.removed / found.characters
        parts.append(f"{share:.1%} of characters in cleaning, tags of HTML included ({key}.cleaning)")
    if found.empty:
        what = "pairs with a text that is" if source.source.paired else "texts"
        parts.append(f"{found.empty:,} of {found.cleaned:,} {what} empty after cleaning, so left out")
    return parts + _lost_files(key, source)


def _lost_in_tokens(tokens: dict[str, Tokens], unknown: int | None) -> list[str]:
    """Returns what the tokenizer does not know, a few words each."""
    parts = []
    blank = {split: int((np.diff(own.ends, prepend=0) == 1).sum()) for split, own in tokens.items()}
    parts += [
        f"{number:,} of {tokens[split].documents:,} {split} texts without a token"
        for split, number in blank.items()
        if number
    ]
    if unknown is not None:
        shares = {split: own.counts[unknown] / max(own.count, 1) for split, own in tokens.items()}
        told = [f"{share:.1%} of {split} tokens unknown" for split, share in shares.items() if share > _FEW]
        if told:
            told[-1] += " (tokenizer=bpe knows every character)"
        parts += told
    return parts


def _on_source(key: str, source: SourceRecipe, found: Findings) -> list[str]:
    remarks = []
    if found.strays and found.opened:
        remarks.append(f"{found.strays:,} I- tags without an entity before them were read as B- tags")
    for split in found.own_splits:
        key_of_split = f"{key}.splits.{split}"
        remarks.append(
            f"the source has a split {split} of its own, but {key_of_split}={source.shares[split]} takes a share "
            f"of what is trained on; {key_of_split}={split} takes that split"
        )
    if found.cut:
        remarks.append(
            f"files without empty lines were cut into sentences {found.cut:,} times, after each '.', '!' or '?'"
        )
    if source.limit is None and source.published is not None and source.is_published:
        for split, sizes in source.published.items():
            for counted, number in sizes.items():
                kind = "entities" if counted == source.source.tags else counted
                if (read := found.by_split.get(split, {}).get(kind, number)) != number:
                    remarks.append(
                        f"the split {split} of the source holds {read:,} {kind}; as published it has {number:,}"
                    )
    return remarks


def _lost_files(key: str, source: SourceRecipe) -> list[str]:
    """Returns which files of a source belong to no split, and are not read, a few words for each kind."""
    left_out = source.source.left_out()
    parts = []
    if (others := left_out[OTHER]) and OTHER not in source.taken:
        train = source.splits["train"]
        parts.append(
            f"{_listed(others)} whose names say no split, while others do "
            f"({key}.splits.train={train}+{OTHER} takes them)"
        )
    if unread := left_out["unread"]:
        parts.append(f"{_listed(unread)} of a kind, or in a place, that is not read")
    return parts


def _listed(names: list[str]) -> str:
    shown = ", ".join([*names[:3], *["…"] * (len(names) > 3)])
    return f"{len(names):,} file{'s' if len(names) > 1 else ''} left out ({shown})"
