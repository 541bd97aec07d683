"""What is masked as a whole: positions -> unit ids.

Units are called with the batch, its draws and the budget (B, 1) of each row, and return (B, T) int64: for
each position the id, in [0, T), of the unit that it belongs to, and -1 where nothing may be masked (special
tokens, padding). Positions of a row with equal ids are masked together or not at all.

They may declare a `margin`: units of more tokens than that, and an eighth of the budget, are not masked,
which bounds by how much a row exceeds its budget; without one it is 12. `protocols.Units` has the details.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from maskwright.masking.draws import Draws
from maskwright.masking.protocols import Batch, Units


class Tokens(Units):
    """Every token by itself, as in BERT (Devlin et al., 2019)."""

    single = True

    def __call__(self, batch: Batch, draws: Draws, budget: Tensor) -> Tensor:
        words = batch["words"]
        return torch.where(words >= 0, torch.arange(words.shape[1], device=words.device), -1)


class Words(Units):
    """All tokens of a word together: the whole-word masking of BERT's second release (2019)."""

    margin = 12

    def __call__(self, batch: Batch, draws: Draws, budget: Tensor) -> Tensor:
        return batch["words"]


class Nothing(Units):
    """No position at all: a control."""

    margin = 0
    masks = False

    def __call__(self, batch: Batch, draws: Draws, budget: Tensor) -> Tensor:
        return torch.full_like(batch["words"], -1)


class Runs(Units):
    """Runs of 1 to N whole words: each row is cut into runs of random lengths, anew each epoch.

    A special token or the end of the row ends a run early.

    Args:
        shares: how likely each length is, from 1 word on; they add up to 1.
    """

    def __init__(self, shares: list[float]):
        self.shares = shares
        # shares that add up to 1 but for rounding must not leave a gap after the last
        self.limits = [math.fsum(shares[: n + 1]) for n in range(len(shares) - 1)]
        self.margin = 2 * len(shares) + 4

    def lengths(self, draws: Draws, number: int) -> Tensor:
        """(B, number) int64: the lengths, in words, of the runs of each row, before anything cuts them."""
        u = draws.uniform("runs", torch.arange(number, device=draws.examples.device)[None])
        lengths = torch.ones_like(u, dtype=torch.int64)
        # comparisons instead of a table: a list copied to a GPU would make the host wait
        for limit in self.limits:
            lengths += u >= limit
        return lengths

    def __call__(self, batch: Batch, draws: Draws, budget: Tensor) -> Tensor:
        words = batch["words"]
        number = words.shape[1]
        starts = self.lengths(draws, number).cumsum(1).clamp(max=number)  # word numbers; 0 starts a run anyway
        run = torch.zeros(len(words), number + 1, dtype=torch.int64, device=words.device)
        run = run.scatter_(1, starts, 1).cumsum(1).gather(1, words.clamp(min=0))
        run = torch.where(words >= 0, run, -1)
        opens = torch.ones_like(words, dtype=torch.bool)
        opens[:, 1:] = run[:, 1:] != run[:, :-1]
        return torch.where(words >= 0, (opens & (words >= 0)).cumsum(1) - 1, -1)


class Spans(Runs):
    """Runs of whole words with lengths from a clipped geometric distribution (SpanBERT, Joshi et al., 2020).

    P(n) is proportional to p * (1 - p)^(n - 1) for n = 1 to `max_words`; 0.2 and 10 give a mean of 3.8.

    Raises:
        ValueError: `p` does not lie in (0, 1), or `max_words` below 1.
    """

    def __init__(self, p: float = 0.2, max_words: int = 10):
        if not 0 < p < 1:
            raise ValueError(f"p is {p}; it lies between 0 and 1")
        if max_words < 1:
            raise ValueError(f"max_words is {max_words}; it is at least 1")
        shares = [p * (1 - p) ** n for n in range(max_words)]
        super().__init__([share / math.fsum(shares) for share in shares])


class Ngrams(Runs):
    """Runs of 1 to N whole words with a length distribution of choice.

    Args:
        max_words: N.
        distribution: `uniform`; `inverse`, P(n) proportional to 1 / n (ALBERT, Lan et al., 2020); or the
            probabilities of 1, 2, ... N words: [0, 0, 1] has the mean of T5's spans (Raffel et al., 2020).
    Raises:
        ValueError: the distribution is unknown or does not add up to 1.
    """

    def __init__(self, max_words: int = 3, distribution: Literal["uniform", "inverse"] | list[float] = "inverse"):
        if max_words < 1:
            raise ValueError(f"max_words is {max_words}; it is at least 1")
        numbers = range(1, max_words + 1)
        if isinstance(distribution, str):
            if distribution not in ("uniform", "inverse"):
                raise ValueError(f"distribution is '{distribution}'; it is 'uniform', 'inverse', or a list")
            shares = [1.0 if distribution == "uniform" else 1 / n for n in numbers]
            shares = [share / math.fsum(shares) for share in shares]
        else:
            shares = [float(share) for share in distribution]
            if len(shares) != max_words:
                raise ValueError(
                    f"distribution has {len(shares)} probabilities; max_words={max_words} needs as many"
                )
            if not (min(shares) >= 0 and math.isclose(math.fsum(shares), 1, abs_tol=1e-6)):
                raise ValueError(f"distribution is {shares}; probabilities are not negative and add up to 1")
        super().__init__(shares)


class Blocks(Units):
    """Rectangles on a grid (BEiT, Bao et al., 2022).

    The maskable positions of a row are arranged in a grid, line by line. Rectangles of a random area, shape and
    location are laid on it. A rectangle consists of the positions that no earlier one covers; one that would
    exceed what is left of the budget is skipped. What the rectangles leave of the budget goes to single
    positions.

    Args:
        columns: positions of a line of the grid.
        smallest: area of the smallest rectangle, in positions; less where less is left of the budget.
        aspect: the smallest and the largest ratio of height to width; their logarithms are the ends of a
            uniform distribution.
        attempts: how many rectangles are tried.
    Raises:
        ValueError: a setting is not positive, or the aspects are not in order.
    """

    margin = 0

    def __init__(
        self,
        columns: int = 14,
        smallest: int = 16,
        aspect: tuple[float, float] = (0.3, 1 / 0.3),
        attempts: int = 16,
    ):
        if min(columns, smallest, attempts) < 1:
            raise ValueError(f"columns={columns}, smallest={smallest}, attempts={attempts}: each is at least 1")
        if len(aspect) != 2 or not 0 < aspect[0] <= aspect[1] < math.inf:
            raise ValueError(f"aspect is {list(aspect)}; it is two positive ratios, the smaller first")
        self.columns, self.smallest, self.attempts = columns, smallest, attempts
        self.aspect = (math.log(aspect[0]), math.log(aspect[1]))

    def __call__(self, batch: Batch, draws: Draws, budget: Tensor) -> Tensor:
        maskable = batch["words"] >= 0
        place = maskable.cumsum(1) - 1
        row, column = place // self.columns, place % self.columns
        rows = (maskable.sum(1, keepdim=True) + self.columns - 1) // self.columns
        u = draws.uniform("blocks", torch.arange(4 * self.attempts, device=maskable.device)[None])
        unit = torch.full_like(place, -1)
        left = torch.minimum(budget, maskable.sum(1, keepdim=True))
        for number in range(self.attempts):
            area, shape, top, side = u[:, 4 * number : 4 * number + 4].split(1, dim=1)
            least = left.clamp(max=self.smallest)
            area = least + area * (left - least)
            shape = (self.aspect[0] + shape * (self.aspect[1] - self.aspect[0])).exp()
            height = torch.minimum((area * shape).sqrt().round().long().clamp(min=1), rows)
            width = (area / shape).sqrt().round().long().clamp(1, self.columns)
            top = (top * (rows - height + 1)).long()
            side = (side * (self.columns - width + 1)).long()
            inside = (row >= top) & (row < top + height) & (column >= side) & (column < side + width)
            new = inside & maskable & (unit < 0)
            size = new.sum(1, keepdim=True)
            fits = size <= left
            unit = torch.where(new & fits, number, unit)
            left = left - size.where(fits, 0)
        # what is left, if anything, goes to single positions in a random order
        single = maskable & (unit < 0)
        keys = draws.hashes("singles", torch.arange(place.shape[1], device=place.device)[None])
        rank = torch.where(single, keys, 2**63 - 1).argsort(dim=1, stable=True).argsort(dim=1)
        # a single position is numbered by itself, a rectangle by its first position
        first = _first_positions(unit, self.attempts)
        index = torch.arange(place.shape[1], device=place.device)
        return torch.where(unit >= 0, first, torch.where(single & (rank < left), index, -1))


def _first_positions(unit: Tensor, number: int) -> Tensor:
    """For each position the first one of its unit, a number that no single position has."""
    index = torch.arange(unit.shape[1], device=unit.device).expand_as(unit)
    first = torch.full((len(unit), number + 1), unit.shape[1], device=unit.device)
    first = first.scatter_reduce(1, unit + 1, index, "amin")
    return first.gather(1, unit + 1)
