"""Units x weights x ratio x corruption: a batch with some of its tokens hidden."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from maskwright.masking.draws import Draws


class Masked(NamedTuple):
    """A masked batch. K is the most positions that any row has; rows with fewer are padded."""

    input_ids: Tensor  # (B, T) what the encoder sees
    positions: Tensor  # (B, K) where something is to be predicted, in order; 0 where not valid
    targets: Tensor  # (B, K) the tokens that stood there
    valid: Tensor  # (B, K) bool, False at the padding


class Masker(nn.Module):
    """Hides whole units until the budget of each row is reached.

    Units come in an order drawn without replacement in proportion to their weights (the exponential
    race of Efraimidis and Spirakis, 2006). They are taken while they bring the number of hidden tokens
    nearer to the budget, round(ratio * maskable tokens) and at least 1; so a row hides its budget
    within half a unit, and no more on average. A unit far longer than the budget (by an eighth and 8
    tokens) is not taken; a row that holds nothing else hides single tokens instead. Nothing depends on
    the other rows of the batch.

    Args:
        units, weights, ratio, corruption: see the modules of those names; `ratio` may be a number.
        mask_id: id of the mask token.
        ordinary_ids: ids that may stand in as random replacements: all but the special tokens.
        seed: masks differ between seeds.
    """

    ordinary_ids: Tensor

    def __init__(
        self,
        units: Callable[..., Tensor],
        weights: Callable[..., Tensor | None],
        ratio: Any,
        corruption: Callable[..., Tensor],
        mask_id: int,
        ordinary_ids: list[int],
        seed: int,
    ):
        super().__init__()
        self.units, self.weights, self.ratio, self.corruption = units, weights, ratio, corruption
        self.mask_id, self.seed = mask_id, seed
        self.register_buffer("ordinary_ids", torch.tensor(ordinary_ids), persistent=False)

    @torch.no_grad()
    def forward(self, batch: dict[str, Tensor], progress: float = 0.0) -> Masked:
        """Masks a batch on its device.

        Args:
            batch: `input_ids` (B, T); `words` (B, T), -1 where nothing may be masked; `examples` (B,);
                `epochs` (B,).
            progress: how much of the run is done, in [0, 1].
        """
        input_ids = batch["input_ids"]
        draws = Draws(self.seed, batch["epochs"], batch["examples"])
        units = self.units(batch, draws)
        chosen = self._choose(batch, units, draws, progress)
        shown = self.corruption(input_ids, chosen, units, draws, self.mask_id, self.ordinary_ids)
        # the exact width costs a look at the data, for which the host would have to wait on a GPU
        exact = chosen.device.type == "cpu"
        width = max(int(chosen.sum(1).max()), 1) if exact else self.bound(input_ids.shape[1])
        positions, valid = gather(chosen, width)
        return Masked(shown, positions, input_ids.gather(1, positions), valid)

    def _choose(self, batch: dict[str, Tensor], units: Tensor, draws: Draws, progress: float) -> Tensor:
        """(B, T) bool: the positions to hide."""
        maskable = units >= 0
        ids = units.clamp(min=0)
        index = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        ratio = self.ratio(progress, draws)
        # in float64, whatever the default type is: the hardware must not change a mask
        budget = (ratio * maskable.sum(1).double() + 0.5).long().clamp(min=1)[:, None]
        capacity = _capacity(budget)
        length = torch.zeros_like(ids).scatter_add_(1, ids, maskable.long()).gather(1, ids)
        fits = maskable & (length <= capacity)
        # where no unit fits, as in a script without blanks, tokens are masked one by one
        whole = fits.any(1, keepdim=True)
        ids, length = torch.where(whole, ids, index), torch.where(whole, length, 1)

        order = draws.uniform("order", ids)
        if (weight := self.weights(batch, units)) is not None:
            order = (1 - weight / order.log()).reciprocal()  # -log(u) / weight, brought back into (0, 1)
            maskable = maskable & (weight > 0)
        order = torch.where(length > capacity, order + 1, order)
        order = torch.where(maskable, order, 3.0)

        # sorted by order, the tokens of a unit stand together; `before` counts the tokens ahead of their unit
        order, place = order.sort(dim=1, stable=True)
        opens = torch.ones_like(maskable)
        opens[:, 1:] = order[:, 1:] != order[:, :-1]
        before = torch.where(opens, index, 0).cummax(1).values
        length = length.gather(1, place)
        # taken half in its budget: a coin, else every such unit would make the row's share too large
        coin = (draws.uniform("tie", torch.zeros_like(budget)) < 0.5).long()
        nearer = 2 * before + length + coin <= 2 * budget
        taken = (nearer | (before == 0)) & (before + length <= capacity) & (order < 3.0)
        return torch.zeros_like(maskable).scatter_(1, place, taken)

    def bound(self, length: int) -> int:
        """The most positions that a row of `length` positions can hide, whatever it holds."""
        return min(int(_capacity(max(int(self.ratio.maximum * length + 0.5), 1))), length)


def _capacity(budget: Any) -> Any:
    """The most positions that a row with this budget hides: a bound known without looking at the data."""
    return budget + 8 + budget // 8


def gather(chosen: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The chosen positions of each row, in order, and which of them are valid; both (B, width).

    Args:
        chosen: (B, T) bool, at most `width` in a row.
    """
    rank = torch.where(chosen, chosen.cumsum(1) - 1, width)
    index = torch.arange(chosen.shape[1], device=chosen.device).expand_as(chosen)
    positions = torch.zeros(len(chosen), width + 1, dtype=torch.long, device=chosen.device)
    positions = positions.scatter_(1, rank, index)[:, :width]
    valid = torch.arange(width, device=chosen.device) < chosen.sum(1, keepdim=True)
    return positions.where(valid, 0), valid
