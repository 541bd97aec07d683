"""The special tokens of tokenizers of the Hugging Face hub, whatever they are called there."""

from typing import Any

from maskwright.text.tokenizer.wrapper import SPECIAL_TOKENS

_MASKS = ("[MASK]", "<mask>", "<|mask|>", "<MASK>", "[mask]")  # mask tokens that a config may not name


def special_tokens(loaded: Any) -> dict[str, str]:
    """Returns the spelling of `pad`, `unk`, `cls`, `sep` and `mask`, of those that a tokenizer has.

    What a tokenizer does not name itself is taken from what it puts around a text, as `<s>` and `</s>`, or from its
    tokens for the beginning and the end of a text; padding, which no position sees, may be any token.

    Args:
        loaded: a fast tokenizer of transformers.
    """
    named = {role: getattr(loaded, f"{role}_token", None) for role in (*SPECIAL_TOKENS, "bos", "eos")}
    before, after = _around(loaded.backend_tokenizer)
    vocabulary = loaded.backend_tokenizer.get_vocab(with_added_tokens=True)
    written = next((token for token in _MASKS if token in vocabulary), None)
    candidates = {
        "cls": (named["cls"], before, named["bos"], named["sep"], after, named["eos"]),
        "sep": (named["sep"], after, named["eos"], named["cls"], before, named["bos"]),
        "unk": (named["unk"],),
        "mask": (named["mask"], written),
        "pad": (named["pad"], named["eos"], named["sep"], after, named["unk"], before),
    }
    found = {role: next((str(one) for one in ones if one), None) for role, ones in candidates.items()}
    return {role: found[role] for role in SPECIAL_TOKENS if found[role] is not None}  # type: ignore[misc]


def _around(backend: Any) -> tuple[str | None, str | None]:
    """Returns the tokens that a tokenizer puts before and after a text; None where it puts none."""
    encoding = backend.encode("a", add_special_tokens=True)
    special = encoding.special_tokens_mask
    if not special:
        return None, None
    return (
        encoding.tokens[0] if special[0] else None,
        encoding.tokens[-1] if special[-1] else None,
    )
