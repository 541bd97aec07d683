"""The best tokens for the masks of texts, each mask by itself or all of them jointly.

Shapes: M masks of a text, k best tokens.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from maskwright.inference.asked import AskedModel, Query
from maskwright.text.masked_text import MaskedText, MaskReader

Method = Literal["independent", "left_to_right", "best_first", "beam"]
METHODS: tuple[Method, ...] = get_args(Method)


class Choice(NamedTuple):
    """The k best tokens of a mask where it is filled, best first.

    Attributes:
        ids: (k,) int64.
        log_probabilities: (k,) float32, in nats.
    """

    ids: np.ndarray
    log_probabilities: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        """(k,) float32."""
        return np.exp(self.log_probabilities)


@dataclass(frozen=True)
class Fill:
    """Tokens for the masks of a text.

    Attributes:
        tokens: those of the masks that are filled, by the numbers of the masks, in the order of filling.
        log_probability: of these tokens together, in nats; see `fill`.
        choices: what the token of each mask was chosen from.
    """

    tokens: dict[int, int] = field(default_factory=dict)
    log_probability: float = 0.0
    choices: dict[int, Choice] = field(default_factory=dict)

    @property
    def probability(self) -> float:
        return math.exp(self.log_probability)

    @property
    def in_order(self) -> list[int]:
        """(M,) the tokens in the order of the masks in the text."""
        return [self.tokens[mask] for mask in sorted(self.tokens)]

    def further(self, mask: int, choice: Choice, width: int) -> Iterator["Fill"]:
        """Yields the fills in which one mask more has one of its `width` best tokens."""
        choices = self.choices | {mask: choice}
        best = zip(choice.ids[:width].tolist(), choice.log_probabilities[:width].tolist(), strict=True)
        for token, value in best:
            yield Fill(self.tokens | {mask: token}, self.log_probability + value, choices)


def fill(
    model: AskedModel,
    texts: Sequence[MaskedText],
    method: Method = "independent",
    top_k: int = 5,
    beams: int = 5,
    candidates: Iterable[int] | None = None,
) -> list[list[Fill]]:
    """Returns the best fills of each text, most probable first; none of a text without masks.

    The probability of a token is its softmax over the whole vocabulary in float32, as in the fill-mask pipeline of
    `transformers`; special tokens are never chosen.

    - `independent`: each mask where all the others are masked. The `top_k` combinations with the largest product of
      probabilities, which is their joint probability only if the masks do not depend on each other.
    - `left_to_right`: one mask after the other gets its best token. One fill.
    - `best_first`: the next mask is the one whose best token is the most probable. One fill.
    - `beam`: left to right, keeping the `beams` most probable fills so far. Up to `top_k` fills.

    In the last three, the probability of a fill follows the chain rule along the order of filling. It is the
    product of p(token | text, tokens filled before), where the masks that are filled later are masked. The
    conditionals of a masked model need not belong to one joint distribution, so another order can give another
    product.

    A text longer than a row is read, for each mask, in the window around that mask.

    Args:
        candidates: the only ids that are chosen from.
    """
    width = {"independent": top_k, "beam": beams}.get(method, 1)
    asker = _Asker(model, max(top_k, width), candidates)
    if method == "independent":
        answers = asker([(text, Fill(), range(len(text.masks))) for text in texts])
        return [_combinations(choices, top_k) for choices in answers]
    kept = [[Fill()] if len(text.masks) else [] for text in texts]
    for filled in range(max((len(text.masks) for text in texts), default=0)):
        active = [i for i, text in enumerate(texts) if filled < len(text.masks)]
        parts = [(i, part) for i in active for part in kept[i]]
        ahead = None if method == "best_first" else 1  # masks that may be the next one
        answers = asker([(texts[i], part, _left(texts[i], part)[:ahead]) for i, part in parts])
        grown: dict[int, list[Fill]] = {i: [] for i in active}
        for (i, part), choices in zip(parts, answers, strict=True):
            mask = max(choices, key=lambda mask: choices[mask].log_probabilities[0])
            grown[i] += part.further(mask, choices[mask], width)
        for i in active:
            kept[i] = _best(grown[i], width)
    return [fills[:top_k] for fills in kept]


def _left(text: MaskedText, part: Fill) -> list[int]:
    """Returns the masks that are not filled yet."""
    return [mask for mask in range(len(text.masks)) if mask not in part.tokens]


def _combinations(choices: dict[int, Choice], number: int) -> list[Fill]:
    """Returns the most probable combinations of independent choices; none of no choices."""
    kept = [Fill()] if choices else []
    for mask, choice in choices.items():
        kept = _best((grown for part in kept for grown in part.further(mask, choice, number)), number)
    return kept


def _best(fills: Iterable[Fill], number: int) -> list[Fill]:
    return sorted(fills, key=lambda fill: -fill.log_probability)[:number]


class _Asker:
    """Asks a model for the best tokens of masks, some of which are filled.

    Args:
        number: how many tokens of each mask.
        candidates: the ids that are chosen from; None for all that stand for text.
    """

    def __init__(self, model: AskedModel, number: int, candidates: Iterable[int] | None):
        self.model, self.number = model, number
        self.ids = np.array(sorted({*(model.tokenizer.ordinary_ids if candidates is None else candidates)}))

    def __call__(self, asked: Sequence[tuple[MaskedText, Fill, Sequence[int]]]) -> list[dict[int, Choice]]:
        """Returns the choices of some masks of each text, by their numbers."""
        queries = [query for text, part, masks in asked for query in self._queries(text, part, masks)]
        ids, values = self.model.best(queries, self.ids, self.number)
        answers = map(Choice, ids, values)  # in the order of the queries
        return [{mask: next(answers) for mask in masks} for _, _, masks in asked]

    def _queries(self, text: MaskedText, part: Fill, masks: Sequence[int]) -> Iterator[Query]:
        """Yields a query about some masks of a text; one for each of them where they have windows of their own."""
        ids, room = text.ids.copy(), self.model.room
        for mask, token in part.tokens.items():
            ids[text.masks[mask]] = token
        if room is None or len(ids) <= room:
            yield Query(self.model.row(ids), (), text.masks[list(masks)] + 1)
            return
        for position in text.masks[list(masks)]:
            begin = min(max(int(position) - room // 2, 0), len(ids) - room)
            yield Query(self.model.row(ids[begin : begin + room]), (), [int(position) - begin + 1])


def row_of(reader: MaskReader, text: MaskedText, fills: list[Fill], top_k: int) -> dict[str, Any]:
    """Returns the row of a text: its best fills, and the best tokens of each mask."""
    masks = []
    for number, position in enumerate(text.masks):
        hidden = int(text.encoded.ids[position])
        choice = fills[0].choices[number]
        masks.append(
            {
                "hidden": None if hidden == reader.mask_id else reader.spelling(hidden),
                "tokens": list(map(reader.spelling, choice.ids[:top_k].tolist())),
                "probabilities": _rounded(choice)[:top_k],
            }
        )
    joint = [
        {
            "text": reader.filled(text, found.in_order),
            "tokens": list(map(reader.spelling, found.in_order)),
            "probability": float(f"{found.probability:.6g}"),
            "log_probability": round(found.log_probability, 6),
        }
        for found in fills
    ]
    return {"text": text.text, "fills": joint, "masks": masks}


def _rounded(choice: Choice) -> list[float]:
    return [float(f"{value:.6g}") for value in choice.probabilities.tolist()]
