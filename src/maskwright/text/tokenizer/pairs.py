"""How a tokenizer puts two texts into one row: what stands between them, and the type of each token."""

from typing import NamedTuple

import numpy as np
import tokenizers


class PairLayout(NamedTuple):
    """A row of two texts: `[CLS]`, the first text, what is between them, the second text, `[SEP]`.

    Attributes:
        between: the ids between the texts; `[SEP]` in BERT, `</s></s>` in RoBERTa.
        types: the token type of each of these five parts, in order.
    """

    between: tuple[int, ...]
    types: tuple[int, int, int, int, int] = (0, 0, 0, 1, 1)

    @property
    def special(self) -> int:
        """How many positions of a row hold special tokens."""
        return len(self.between) + 2


def find_layout(backend: tokenizers.Tokenizer, cls_id: int, sep_id: int) -> PairLayout:
    """Returns the layout that the post-processor of a tokenizer has.

    It is BERT's if there is none, or if its rows do not begin with `[CLS]` and end with `[SEP]`, as all rows here
    do.
    """
    encoded = backend.encode("a", "b", add_special_tokens=True)
    texts, ids, types = encoded.sequence_ids, encoded.ids, encoded.type_ids
    own = [number for number, text in enumerate(texts) if text is not None]
    seconds = [number for number in own if texts[number] == 1]
    framed = own[:1] == [1] and own[-1:] == [len(ids) - 2] and (ids[0], ids[-1]) == (cls_id, sep_id)
    if not framed or not seconds or seconds[0] == 1:
        return PairLayout((sep_id,))
    second = seconds[0]
    between = [number for number in range(1, second) if texts[number] is None]
    if not between:
        return PairLayout((sep_id,))
    parts = (types[0], types[1], types[between[0]], types[second], types[-1])
    return PairLayout(tuple(ids[number] for number in between), parts)


def pair_lengths(lengths: np.ndarray, room: int) -> np.ndarray:
    """Returns how many tokens of each text of a pair a row shows, (D, 2).

    The longer text is cut first, until both have the same length; then both are, and the one that was longer, or
    the second one, keeps the token more of an odd room. This is `longest_first` of Hugging Face's tokenizers.

    Args:
        lengths: (D, 2) tokens of each text.
        room: tokens of both together.
    """
    shorter = lengths.min(axis=1)
    fits = lengths.sum(axis=1) <= room
    most = np.where(fits, room, np.maximum(room - shorter, 0))[:, None]
    halves = np.where(
        (lengths[:, 0] > lengths[:, 1])[:, None], [room - room // 2, room // 2], [room // 2, room - room // 2]
    )
    are_halves = ~fits & (2 * shorter > room)
    return np.where(are_halves[:, None], halves, np.minimum(lengths, most))
