"""What a masked language model predicts at the mask tokens of a text."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from maskwright.core.errors import UserError, nearest
from maskwright.inference.explain.prediction import Prediction
from maskwright.inference.explain.question import Cutter, Question, spans_of
from maskwright.inference.masked_model import MaskedModel
from maskwright.inference.text_rows import Encoded, windows
from maskwright.text.tokenizer import Tokenizer


def encode_masks(tokenizer: Tokenizer, text: str) -> Encoded:
    """Returns a text as tokens, in which the mask token is one token where it is spelled out, not its letters."""
    backend = tokenizer.backend
    backend.encode_special_tokens = False
    try:
        encoding = backend.encode(text, add_special_tokens=False)
    finally:
        backend.encode_special_tokens = True
    ids = np.array(encoding.ids, dtype=np.int64)
    starts = tokenizer.word_starts(ids, encoding)
    masked = ids == tokenizer.mask_id
    starts |= masked
    starts[1:] |= masked[:-1]
    return Encoded(text, ids, starts, np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2))


@dataclass(frozen=True)
class Fills:
    """The predictions of a masked language model."""

    model: MaskedModel
    cut: Cutter

    def questions(
        self, text: str, target: str | None = None, word: str | None = None, in_windows: bool = False
    ) -> tuple[str, list[Question]]:
        """Returns a text, and what of it is explained: the fill at each mask token; nothing of an empty one.

        Args:
            target: a token; None takes the most likely one.
            word: has no meaning for fills.
            in_windows: whether a text may be longer than a row, so that a window of it is shown.
        Raises:
            UserError: the text has no mask token, or is too long; or there is no such token.
        """
        if word is not None:
            raise UserError(f"word={word}, but a fill is explained where the mask token stands. Leave it out.")
        spelled = self.model.tokenizer.special.get("mask", "")
        if not text.strip():
            return text, []
        self.model.tokenizer.mask_id  # noqa: B018  raises where there is none
        if spelled not in text:
            raise UserError(
                f"The text {text[:60]!r} has no {spelled}, so there is no fill to explain. Write one where a "
                f"word is missing: text='Paris is the {spelled} of France.'"
            )
        encoded = encode_masks(self.model.tokenizer, text)
        room = self.model.room
        if room is not None and len(encoded.ids) > room and not in_windows:
            raise UserError(
                f"The text {text[:60]!r} has {len(encoded.ids):,} tokens, but the model reads rows of {room:,}. "
                "Shorten it, or set long=windows, which reads the part around each mask token."
            )
        masked = np.flatnonzero(encoded.ids == self.model.tokenizer.mask_id).tolist()
        return text, [self._question(encoded, at, masked, target) for at in masked]

    def _question(self, encoded: Encoded, at: int, masked: list[int], target: str | None) -> Question:
        window = next(own for own in windows(len(encoded.ids), self.model.room) if own.first <= at < own.last)
        ids = torch.from_numpy(self.model.row(encoded.ids[window.begin : window.end])).to(self.model.device)
        position = at - window.begin + 1
        with torch.no_grad():
            shares = self._shares(ids[None], position)[0]
        token = int(shares.argmax()) if target is None else self._token(target, shares)
        units = self.cut(encoded, window, masked)
        prediction = Prediction(
            ids,
            units,
            self._compute(position, token),
            self.model.encoder,
            self.model.tokenizer.mask_id,
            torch.eye(len(ids), device=ids.device)[position],
            self.model.tokens_per_batch,
        )
        start, end = encoded.offsets[at].tolist()
        return Question(prediction, self._spell(token), (start, end), spans_of(encoded, window, units))

    def _shares(self, ids: Tensor, position: int) -> Tensor:
        """Returns the probabilities (B, V) at a position of rows (B, T)."""
        positions = torch.full((len(ids), 1), position, device=ids.device)
        return self.model.head(self.model.encoder(ids, None, positions))[:, 0].float().softmax(-1)

    def _compute(self, position: int, token: int) -> Callable[[Tensor], Tensor]:
        return lambda ids: self._shares(ids, position)[:, token]

    def _spell(self, token: int) -> str:
        tokenizer = self.model.tokenizer
        return tokenizer.decode([token]).strip() or str(tokenizer.backend.id_to_token(token))

    def _token(self, target: str, shares: Tensor) -> int:
        """Returns the most likely of the tokens that are spelled so."""
        normalizer = self.model.tokenizer.backend.normalizer
        names = {target.strip(), target.strip() if normalizer is None else normalizer.normalize_str(target).strip()}
        found = [token for name in names for token in self._tokens.get(name, ())]
        if not found:
            raise UserError(
                f"target={target} is no single token of this model.{nearest(target, self._tokens)} "
                "A fill is one token."
            )
        return max(found, key=lambda token: float(shares[token]))

    @cached_property
    def _tokens(self) -> dict[str, list[int]]:
        """The tokens that are spelled alike, without blanks around them."""
        tokens: dict[str, list[int]] = {}
        for token in self.model.tokenizer.ordinary_ids:
            tokens.setdefault(self._spell(token), []).append(token)
        return tokens
