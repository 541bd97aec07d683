"""The protocols of the four parts of a masker: units, weights, ratio and corruption.

A class that inherits from its protocol has the defaults for members that it does not define. Your own class need
not inherit: `declared_by` fills in the same defaults.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

from torch import Tensor

from maskwright.masking.draws import Draws
from maskwright.masking.vocabulary import OrdinaryTokens, Vocabulary

Batch = dict[str, Tensor]


class Units(Protocol):
    """What is masked as a whole.

    Attributes:
        margin: units of more tokens than that, and an eighth of the budget, are not masked, which bounds by
            how much a row exceeds its budget. 0 promises that the units of a row hold no more than its
            budget. None means 12, and promises that no unit is longer, which `Masker.check` verifies.
        single: whether each position with `words >= 0` is a unit by itself, so that the masker need not
            call the units at all.
        masks: whether there are units at all; false for a control that masks nothing.
    """

    margin: int | None = None
    single: bool = False
    masks: bool = True

    def __call__(self, batch: Batch, draws: Draws, budget: Tensor) -> Tensor:
        """Returns the unit of each position, (B, T) int64 in [-1, T).

        Positions of a row with equal ids are masked together or not at all; -1 is never masked (special
        tokens, padding).

        Args:
            batch: `words` (B, T), -1 where nothing may be masked, and whatever else the units need.
            draws: the random numbers of the batch.
            budget: (B, 1) int64, how many tokens of each row are to be masked.
        """
        ...


class Weights(Protocol):
    """How likely a unit is to be masked, relative to the other units of its row.

    Attributes:
        learns: whether `observe` changes the weights, so that a task without predictions of tokens cannot
            use them.
    """

    learns: bool = False

    def __call__(self, batch: Batch) -> Tensor | None:
        """Returns the weight of each position, (B, T) float of at least 0; None where all are alike."""
        ...

    def bind(self, vocabulary: Vocabulary) -> None:
        """Called once by each masker that is made with these weights, before any batch."""
        return None

    def begin_step(self, step: int) -> None:
        """Called before each optimizer step; `step` of them are done."""
        return None

    def observe(self, targets: Tensor, right: Tensor, valid: Tensor) -> None:
        """Called after each prediction in training.

        Args:
            targets: (B, K) the tokens that were masked.
            right: (B, K) bool, whether the model predicted each.
            valid: (B, K) bool, False at padding.
        """
        return None


class Ratio(Protocol):
    """How much is masked.

    Attributes:
        maximum: the largest share that a call returns.
        independent: whether each unit is masked with this probability, whatever becomes of the others; else units
            are masked until the row has its budget.
    """

    maximum: float
    independent: bool = False

    def __call__(self, progress: float, draws: Draws) -> float | Tensor:
        """Returns the share of a row's maskable tokens, in (0, 1]: a float, or (B,) one for each row.

        Args:
            progress: how much of the run is done, in [0, 1].
            draws: the random numbers of the batch.
        """
        ...


class Corruption(Protocol):
    """What replaces the token at a masked position.

    Attributes:
        per: whether all tokens of a unit share one random number, or each has its own.
    """

    per: Literal["token", "unit"] = "token"

    def __call__(
        self,
        targets: Tensor,
        positions: Tensor,
        draw_index: Tensor,
        draws: Draws,
        mask_id: int,
        vocabulary: OrdinaryTokens,
    ) -> Tensor:
        """Returns the replacements (B, K) of `targets` (B, K) at `positions` (B, K).

        Args:
            draw_index: (B, K) the positions, or, where `per` is `unit`, the ids of their units: equal ones
                of a row get equal random numbers.
            draws: the random numbers of the batch.
            mask_id: id of the mask token.
            vocabulary: the tokens that may be random replacements.
        """
        ...


class Declared(NamedTuple):
    """The members that parts declare; see the protocols."""

    margin: int | None
    single: bool
    masks: bool
    learns: bool
    bind: Callable[[Vocabulary], None]
    begin_step: Callable[[int], None]
    observe: Callable[[Tensor, Tensor, Tensor], None]
    per: Literal["token", "unit"]


def declared_by(units: Any, weights: Any, corruption: Any) -> Declared:
    """Returns what the parts declare, with the defaults of their protocols for members that they do not define.

    Weights that define `observe` but not `learns` are taken to learn.
    """

    def member(part: Any, protocol: type, name: str) -> Any:
        default = getattr(protocol, name)
        return getattr(part, name, default.__get__(part) if callable(default) else default)

    return Declared(
        margin=member(units, Units, "margin"),
        single=member(units, Units, "single"),
        masks=member(units, Units, "masks"),
        learns=getattr(weights, "learns", hasattr(weights, "observe")),
        bind=member(weights, Weights, "bind"),
        begin_step=member(weights, Weights, "begin_step"),
        observe=member(weights, Weights, "observe"),
        per=member(corruption, Corruption, "per"),
    )
