"""What is to be written: a text with masks, or a number of tokens after a prompt."""

import numpy as np

from maskwright.core.errors import UserError
from maskwright.text.masked_text import MaskedText, MaskReader
from maskwright.text.text_rows import Encoded, shortened, too_long


def template_of(reader: MaskReader, text: str, length: int | None, room: int | None) -> MaskedText:
    """Returns a text in which the tokens to be written are masked.

    Args:
        text: with masks in it; or, where `length` is given, a prompt, which may be empty.
        length: tokens of the whole text, those of the prompt included; None if `text` has masks.
        room: the most tokens of a row of the model; None if there is no limit.
    Raises:
        UserError: it has neither masks nor a length, or both, or does not fit in a row.
    """
    if length is None:
        if not text.strip():
            raise UserError(f"An empty text has no mask. Write {reader.mask} for each token that is missing.")
        template = reader.read([text])[0]
    else:
        template = _continued(reader, text.rstrip(), length, room)
    tokens = len(template.ids)
    if room is not None and tokens > room:
        if length is None:
            raise too_long(text, tokens, room, "Shorten it.")
        raise UserError(f"length={length}, but the model reads rows of {room:,} tokens. Set it to {room} or less.")
    return template


def _continued(reader: MaskReader, prompt: str, length: int, room: int | None) -> MaskedText:
    """Returns a prompt with as many masks after it as `length` leaves."""
    if reader.mask in reader.spelled(prompt):
        raise UserError(
            f"length={length} is given for the text {shortened(prompt)}, which has masks. Leave out one of "
            "them: masks say how many tokens are missing; a length is for a prompt without masks, or for no text."
        )
    ids, starts, offsets = reader.tokenizer.encode([prompt], offsets=True)[0]
    missing = length - len(ids)
    if room is not None and len(ids) >= room:
        raise too_long(prompt, len(ids), room, "Shorten it, so that there is room for more.")
    if missing < 1:
        raise UserError(
            f"length={length} leaves nothing to write: the text {shortened(prompt)} has {len(ids):,} tokens. Set "
            f"it to {len(ids) + 1:,} or more."
        )
    before = f"{prompt} " if prompt else ""
    ends = len(before) + len(reader.mask) * np.arange(missing + 1)
    encoded = Encoded(
        text=before + reader.mask * missing,
        ids=np.concatenate([ids, np.full(missing, reader.mask_id)]),
        starts=np.concatenate([starts, np.ones(missing, dtype=bool)]),
        offsets=np.concatenate([offsets, np.stack([ends[:-1], ends[1:]], axis=1)]),
    )
    return MaskedText(prompt, encoded, encoded.ids, np.arange(len(ids), length))
