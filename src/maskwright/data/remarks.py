"""What a user should know about a corpus before a model is trained on it."""

import numpy as np

from maskwright.core.errors import UserError
from maskwright.corpora.findings import Findings
from maskwright.corpora.listing import OTHER
from maskwright.corpora.recipe import Recipe, SourceRecipe, key_of
from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokens import Tokens

_FEW = 0.001  # a share below it is not told
_FEW_LOST = 0.05  # of characters, as blanks and tags are lost rightly


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
    remarks = []
    for name, source in recipe.sources.items():
        prefix = f"{name}: " if name else ""
        remarks += [f"{prefix}{remark}" for remark in _on_source(key_of(name), source, findings[name])]
    blank = {split: int((np.diff(own.ends, prepend=0) == 1).sum()) for split, own in tokens.items()}
    if any(blank.values()):
        counts = ", ".join(f"{number:,} of {split}" for split, number in blank.items() if number)
        remarks.append(f"some texts have no tokens: {counts}")
    if unknown is not None:
        shares = {split: own.counts[unknown] / max(own.count, 1) for split, own in tokens.items()}
        if any(share > _FEW for share in shares.values()):
            told = ", ".join(f"{share:.1%} of {split}" for split, share in shares.items() if share > _FEW)
            remarks.append(f"some tokens are unknown to the tokenizer: {told}")
    return remarks


def _on_source(key: str, source: SourceRecipe, found: Findings) -> list[str]:
    remarks = []
    if found.empty:
        remarks.append(f"{found.empty:,} empty texts were left out")
    if found.lost > _FEW_LOST * found.characters:
        remarks.append(f"cleaning removed {found.lost / found.characters:.1%} of the characters (data.cleaning)")
    if found.strays and found.opened:
        remarks.append(f"{found.strays:,} I- tags without an entity before them were read as B- tags")
    remarks += _on_files(key, source)
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


def _on_files(key: str, source: SourceRecipe) -> list[str]:
    """Returns which files of a source belong to no split, and are not read."""
    left_out = source.source.left_out()
    remarks = []
    if (others := left_out[OTHER]) and OTHER not in source.taken:
        train = source.splits["train"]
        remarks.append(
            f"{_listed(others)}: left out, since names of other files say their split and these say none; "
            f"{key}.splits.train={train}+{OTHER} takes them"
        )
    if unread := left_out["unread"]:
        remarks.append(f"{_listed(unread)}: left out, since files of that kind, or in that place, are not read")
    return remarks


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more files" if len(names) > 3 else "")
