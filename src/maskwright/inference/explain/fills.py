"""What a masked language model predicts at the mask tokens of a text."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from maskwright.core.errors import UserError
from maskwright.inference.explain.prediction import Prediction
from maskwright.inference.explain.question import Cutter, Question, spans_of
from maskwright.inference.masked_model import MaskedModel
from maskwright.models import BigramHead
from maskwright.text.masked_text import MaskedText, MaskReader
from maskwright.text.text_rows import Encoded, shortened, windows


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
        read = self._read(text, target, word, in_windows)
        if read is None:
            return text, []
        encoded, masked = read.encoded, read.masks.tolist()
        return encoded.text, [self._question(encoded, at, masked, target) for at in masked]

    def check(
        self, text: str, target: str | None = None, word: str | None = None, in_windows: bool = False
    ) -> None:
        """Raises the errors of `questions`, without asking the model."""
        self._read(text, target, word, in_windows)

    def _read(self, text: str, target: str | None, word: str | None, in_windows: bool) -> MaskedText | None:
        """Returns a text with its masks; None of an empty one. See `questions`."""
        if word is not None:
            raise UserError(f"word={word}, but a fill is explained where the mask token stands. Leave it out.")
        if not text.strip():
            return None
        reader = self._reader
        if target is not None:
            reader.candidate(target, "target")
        text = reader.spelled(text)
        if reader.mask not in text:
            raise UserError(
                f"The text {shortened(text)} has no {reader.mask}, so there is no fill to explain. Write one where "
                f"a word is missing: text='Paris is the {reader.mask} of France.'"
            )
        return reader.read([text], long="windows" if in_windows else "refuse")[0]

    def _question(self, encoded: Encoded, at: int, masked: list[int], target: str | None) -> Question:
        window = next(own for own in windows(len(encoded.ids), self.model.room) if own.first <= at < own.last)
        ids = torch.from_numpy(self.model.row(encoded.ids[window.begin : window.end])).to(self.model.device)
        position = at - window.begin + 1
        with torch.no_grad():
            shares = self._shares(ids[None], position)[0]
        token = int(shares.argmax()) if target is None else self._reader.candidate(target, "target")
        units = self.cut(encoded, window, masked)
        prediction = Prediction(
            ids,
            units,
            self._compute(position, token),
            self.model.encoder,
            self.model.tokenizer.mask_id,
            torch.eye(len(ids), device=ids.device)[position],
            self.model.tokens_per_batch,
            self._tables(position),
        )
        start, end = encoded.offsets[at].tolist()
        return Question(prediction, self._spell(token), (start, end), spans_of(encoded, window, units))

    def _shares(self, ids: Tensor, position: int) -> Tensor:
        """Returns the probabilities (B, V) at a position of rows (B, T)."""
        positions = torch.full((len(ids), 1), position, device=ids.device)
        return self.model.head(self.model.encoder(ids, None, positions))[:, 0].float().softmax(-1)

    def _tables(self, position: int) -> tuple[tuple[nn.Module, int], ...]:
        """Returns the counts that the head reads at a position, of the token before and of that after it."""
        head = self.model.head
        if not isinstance(head, BigramHead) or not head.bigrams.known:
            return ()
        return (head.bigrams.left, position - 1), (head.bigrams.right, position + 1)

    def _compute(self, position: int, token: int) -> Callable[[Tensor], Tensor]:
        return lambda ids: self._shares(ids, position)[:, token]

    def _spell(self, token: int) -> str:
        tokenizer = self.model.tokenizer
        return tokenizer.decode([token]).strip() or str(tokenizer.backend.id_to_token(token))

    @cached_property
    def _reader(self) -> MaskReader:
        """Made once: it copies the whole tokenizer."""
        return MaskReader(self.model)
