"""Which split a document belongs to, and which documents a limit takes: a hash of the text decides."""

import hashlib
import unicodedata

SPLITS = ("train", "validation", "test")


def split_of(text: str, shares: dict[str, float], rest: str = "train") -> str:
    """Returns the split of a document: a function of its text alone, up to case, width and white space.

    A document therefore keeps its split when others are added, removed or moved, and its copies share that split.

    Args:
        shares: the share of each split; whatever remains falls to `rest`.
    """
    if not shares:
        return rest
    place = place_of(text)
    for split, share in shares.items():
        if place < share:
            return split
        place -= share
    return rest


def place_of(text: str) -> float:
    """Returns where in [0, 1) the hash of a text lies; copies of a text lie in the same place."""
    normal = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    digest = hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
