"""Units x weights x ratio x corruption: a batch with some of its tokens masked."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from maskwright.core import hashing
from maskwright.masking.draws import Draws
from maskwright.masking.protocols import Batch, Corruption, Ratio, Units, Weights, declared_by
from maskwright.masking.vocabulary import OrdinaryTokens, Vocabulary

MARGIN = 12  # of units that declare none

_SLOT = 0xFFFF  # the low bits of a key number the unit; so a row holds at most 65,536 positions
_LAST = 2**63 - 1  # a key larger than all others


class Selection(NamedTuple):
    """What is masked. K is the most positions that any row has; rows with fewer are padded."""

    positions: Tensor  # (B, K) in order; 0 where not valid
    valid: Tensor  # (B, K) bool, False at the padding
    units: Tensor | None  # (B, T) the unit of each position of the rows; None where each is a unit by itself
    ratio: float | Tensor  # the share that was drawn: (B,) for each row, or one number for all
    draws: Draws  # the random numbers of the batch, which the corruption uses too


class Masked(NamedTuple):
    """A masked batch. K is the most positions that any row has; rows with fewer are padded."""

    input_ids: Tensor  # (B, T) what the encoder sees
    positions: Tensor  # (B, K) the masked positions, in order; 0 where not valid
    targets: Tensor  # (B, K) the original tokens there
    valid: Tensor  # (B, K) bool, False at the padding


class Masker(nn.Module):
    """Masks whole units until the budget of each row, round(ratio * maskable tokens) and at least 1, is met.

    `select` chooses the positions that are masked. It reads no token ids, so it also works for images and
    trajectories. `corrupt` replaces the tokens there. A call does both.

    Units come in an order drawn without replacement in proportion to their weights (the exponential
    race of Efraimidis and Spirakis, 2006). Each is taken while those before it hold fewer tokens than a
    limit, drawn for each row between the budget and the budget less the mean length of the unit that a
    random token belongs to. The limit does not depend on the length of the next unit, so in rows of many
    units long and short ones are equally likely to be masked. The number of masked tokens differs from the
    budget by at most the longest unit of the row, and is the budget on average where that is larger than a
    few units. A row whose units hold no more than the budget masks them all. A unit longer than its margin
    and an eighth of the budget is never taken; a row that has no shorter ones masks single tokens instead.
    Nothing depends on the other rows of the batch.

    Where the ratio is `independent`, there is no budget: each unit is masked with this probability, changed in
    proportion to its weight, and a row may mask nothing.

    Args:
        units, weights, ratio, corruption: see `protocols`.
        vocabulary: the ids of the mask token and of random replacements.
        seed: masks differ between seeds.
        dynamic: whether each epoch draws new masks; else all show those of the first.
    Attributes:
        margin: units of more tokens than that, and an eighth of the budget, are not masked; 0 where the units
            of a row hold no more than its budget.
        learns: whether the weights follow what a model predicts, see `observe`.
        masks: whether it masks anything at all.
    """

    ordinary_ids: Tensor
    cumulative: Tensor

    def __init__(
        self,
        units: Units,
        weights: Weights,
        ratio: Ratio,
        corruption: Corruption,
        vocabulary: Vocabulary,
        seed: int,
        dynamic: bool = True,
    ):
        super().__init__()
        self.units, self.weights, self.ratio, self.corruption = units, weights, ratio, corruption
        self.mask_id, self.seed, self.dynamic = vocabulary.mask_id, seed, dynamic
        self._declared = declared_by(units, weights, corruption)
        self.learns, self.masks = self._declared.learns, self._declared.masks
        margin = 0 if self._declared.single else self._declared.margin
        self.margin = MARGIN if margin is None else margin
        self.independent = getattr(ratio, "independent", Ratio.independent)  # of a class that need not inherit
        self._declared.bind(vocabulary)
        for name, tensor in vocabulary.ordinary_tokens()._asdict().items():
            self.register_buffer(name, tensor, persistent=False)  # whole numbers in any precision

    def forward(self, batch: Batch, progress: float = 0.0) -> Masked:
        """Masks a batch on its device.

        Args:
            batch: `input_ids` (B, T), and what `select` takes.
            progress: how much of the run is done, in [0, 1].
        """
        return self.corrupt(batch["input_ids"], self.select(batch, progress))

    @torch.no_grad()
    def select(self, batch: Batch, progress: float = 0.0) -> Selection:
        """Draws the positions that are masked.

        Args:
            batch: `words` (B, T), -1 where nothing may be masked; `examples` (B,); `epochs` (B,); and what
                else units and weights ask for.
            progress: how much of the run is done, in [0, 1].
        Raises:
            ValueError: rows have more than 65,536 positions.
        """
        words, draws = batch["words"], self.draws(batch)
        ratio = self.ratio(progress, draws)
        budget = _budget(words, ratio)
        length, room = words.shape[1], self._room(budget)
        if length > _SLOT + 1:
            raise ValueError(f"rows of {length:,} positions; a masker takes at most {_SLOT + 1:,}")
        # the exact width depends on the data, for which the host would have to wait on a GPU
        exact = hashing.on_host(words) and words.numel() > 0
        most = min(int(room.max()), length) if exact else self.bound(length)
        # a unit holds a token at least, so a row takes no more units than its budget has tokens
        number = min(int(budget.max()) if exact else self._largest_budget(length), length)
        units = None if self._declared.single else self.units(batch, draws, budget)
        if self.independent:
            most, places = length, self._independent(batch, units, draws, ratio)
        elif units is None:
            places = self._single(batch, draws, budget, number)
        else:
            places = self._whole(batch, units, draws, budget, number)
        positions = _sort(places)[:, :most].long()
        valid = positions < length
        if exact:
            width = max(int(valid.sum(1).max()), 1)
            positions, valid = positions[:, :width], valid[:, :width]
        return Selection(positions.where(valid, 0), valid, units, ratio, draws)

    @torch.no_grad()
    def corrupt(self, input_ids: Tensor, selection: Selection) -> Masked:
        """Replaces the token ids (B, T) at the positions that `select` chose; some may stay as they are."""
        positions, valid, units, _, draws = selection
        targets = input_ids.gather(1, positions)
        per_unit = units is not None and self._declared.per == "unit"
        draw_index = units.gather(1, positions) if per_unit else positions  # type: ignore[union-attr]
        ordinary = OrdinaryTokens(self.ordinary_ids, self.cumulative)
        shown = self.corruption(targets, positions, draw_index, draws, self.mask_id, ordinary)
        # the padding of a row writes the value of its first position once more, which changes nothing
        shown = torch.where(valid, shown, torch.where(valid[:, :1], shown[:, :1], targets[:, :1]))
        index = torch.where(valid, positions, positions[:, :1])
        return Masked(input_ids.scatter(1, index, shown), positions, targets, valid)

    def check(self, batch: Batch) -> None:
        """Checks on a CPU that units and weights return valid values.

        Raises:
            ValueError: units are not integers in [-1, T), or are longer than declared; or weights are negative or
                not finite.
        """
        shape = batch["words"].shape
        units = self.units_in(batch)
        right = isinstance(units, Tensor) and units.shape == shape and units.dtype == torch.int64
        if not right or not ((units >= -1) & (units < shape[1])).all():
            raise ValueError(
                f"units: {type(self.units).__name__} returned {_described(units)}; units are a tensor of "
                f"int64 numbers from -1 to {shape[1] - 1} of shape {tuple(shape)}"
            )
        sizes = torch.zeros_like(units).scatter_add_(1, units.clamp(min=0), (units >= 0).long())
        longest = int(sizes.max())
        if self._declared.margin is None and not self._declared.single and longest > MARGIN:
            raise ValueError(
                f"units: {type(self.units).__name__} returned a unit of {longest} tokens, and units of more "
                f"than {MARGIN} are not masked; give the class a larger attribute `margin`"
            )
        weight = self.weights(batch)
        if weight is None:
            return
        found = None
        if not isinstance(weight, Tensor) or weight.shape != shape:
            found = _described(weight)
        elif (bad := ~((weight >= 0) & weight.isfinite())).any():
            found = f"the weight {weight[bad][0].item()}"
        if found is not None:
            raise ValueError(
                f"weights: {type(self.weights).__name__} returned {found}; weights are a tensor of finite "
                f"numbers of at least 0 of shape {tuple(shape)}, or None"
            )

    def begin_step(self, step: int) -> None:
        """Notifies the weights that an optimizer step begins, after `step` steps."""
        self._declared.begin_step(step)

    def observe(self, masked: Masked, right: Tensor) -> None:
        """Passes on to weights that learn which masked tokens (B, K) the model predicted correctly."""
        self._declared.observe(masked.targets, right, masked.valid)

    def units_in(self, batch: Batch, progress: float = 0.0) -> Tensor:
        """(B, T) the unit of each position in the batch's epochs, of which a call masks some."""
        draws = self.draws(batch)
        return self.units(batch, draws, self.budget(batch, draws, progress))

    def draws(self, batch: Batch) -> Draws:
        """The random numbers of a batch."""
        epochs = batch["epochs"] if self.dynamic else torch.zeros_like(batch["epochs"])
        return Draws(self.seed, epochs, batch["examples"])

    def budget(self, batch: Batch, draws: Draws, progress: float) -> Tensor:
        """(B, 1) int64: how many tokens of each row are to be masked, at least 1."""
        return _budget(batch["words"], self.ratio(progress, draws))

    def bound(self, length: int) -> int:
        """The most positions that a row of `length` positions can mask, whatever it holds."""
        return length if self.independent else min(int(self._room(self._largest_budget(length))), length)

    def _largest_budget(self, length: int) -> int:
        return max(int(self.ratio.maximum * length + 0.5), 1)

    def _room(self, budget: Any) -> Any:
        """The most positions that a row with this budget masks: a bound known without looking at the data."""
        return budget + self._longest(budget) if self.margin else budget

    def _longest(self, budget: Any) -> Any:
        """The longest unit that a row with this budget may mask."""
        return self.margin + budget // 8 if self.margin else budget

    def _single(self, batch: Batch, draws: Draws, budget: Tensor, most: int) -> Tensor:
        """(B, most) the positions that are masked where each is a unit; T where there is none."""
        eligible = batch["words"] >= 0
        slots = torch.arange(eligible.shape[1], device=eligible.device)[None]
        if (weight := self.weights(batch)) is not None:
            eligible &= weight > 0
        keys = _sort(_keys(draws, slots, weight, eligible))[:, :most]
        taken = (keys < _LAST) & (torch.arange(most, device=keys.device) < budget)
        return torch.where(taken, keys & _SLOT, eligible.shape[1])

    def _independent(self, batch: Batch, units: Tensor | None, draws: Draws, ratio: float | Tensor) -> Tensor:
        """(B, T) int32: each position where its unit is masked, T elsewhere."""
        words = batch["words"]
        slots = torch.arange(words.shape[1], device=words.device)[None]
        maskable, ids = (words >= 0, slots) if units is None else (units >= 0, units.clamp(min=0))
        chance = ratio[:, None] if isinstance(ratio, Tensor) else ratio
        if (weight := self.weights(batch)) is not None:
            weight = weight.double()
            if units is not None:
                length = torch.zeros_like(ids).scatter_add_(1, ids, maskable.long())
                weight = _mean(weight, ids, maskable, length).gather(1, ids)
            total = weight.where(maskable, 0).sum(1, keepdim=True)
            chance = chance * weight * maskable.sum(1, keepdim=True) / total.clamp(min=1e-9)
        hidden = (draws.uniform("order", ids) < chance) & maskable
        return torch.where(hidden, slots, words.shape[1]).int()

    def _whole(self, batch: Batch, units: Tensor, draws: Draws, budget: Tensor, most: int) -> Tensor:
        """(B, T) int32: each position where its unit is masked, T elsewhere; of at most `most` units."""
        number, longest = units.shape[1], self._longest(budget)
        maskable, ids = units >= 0, units.clamp(min=0)
        slots = torch.arange(number, device=units.device)[None]
        ones = maskable.int()
        length = torch.zeros_like(ones).scatter_add_(1, ids, ones)
        eligible = length > 0
        weight = self.weights(batch)
        if weight is not None:
            at_positions = weight.double()
            weight = _mean(at_positions, ids, maskable, length)
            eligible &= weight > 0
        # reading values saves work where the host does not have to wait for them
        too_long = not hashing.on_host(units) or not units.numel() or int(length.max()) > int(longest.min())
        if too_long:
            # where no unit fits, as in a script without blanks, tokens are masked one by one
            eligible &= length <= longest
            whole = eligible.any(1, keepdim=True)
            ids, length = torch.where(whole, ids, slots), torch.where(whole, length, ones)
            if weight is not None:
                weight = torch.where(whole, weight, at_positions)
            eligible = torch.where(whole, eligible, maskable if weight is None else maskable & (weight > 0))
        if too_long or weight is not None:
            length = length.where(eligible, 0)

        keys = _sort(_keys(draws, slots, weight, eligible))[:, :most]
        found = keys < _LAST
        unit = torch.where(found, keys & _SLOT, number)
        size = length.gather(1, unit.clamp(max=number - 1)).long().where(found, 0)
        before = size.cumsum(1) - size
        # the mean length of the unit that a random token belongs to; the last unit exceeds a limit by half of it
        available = length.sum(1, keepdim=True)
        covering = (length * length).sum(1, keepdim=True).double() / available.clamp(min=1)
        limit = (budget - covering * draws.row("limit")).clamp(min=0.5)  # the first unit is always taken
        taken = ((before < limit) | (available <= budget)) & found
        flags = torch.zeros(len(units), number + 1, dtype=torch.bool, device=units.device)
        hidden = flags.scatter_(1, unit, taken).gather(1, ids).logical_and_(maskable)
        return torch.where(hidden, slots.int(), number)


def _budget(words: Tensor, ratio: float | Tensor) -> Tensor:
    # in float64, whatever the default type is: the hardware must not change a mask
    maskable = (words >= 0).sum(1).double()
    return (ratio * maskable + 0.5).long().clamp(min=1)[:, None]


def _described(value: Any) -> str:
    return f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r:.60}"


def _mean(values: Tensor, ids: Tensor, maskable: Tensor, length: Tensor) -> Tensor:
    """(B, T) for each unit the mean of the values at its positions."""
    return torch.zeros_like(values).scatter_add_(1, ids, values.where(maskable, 0.0)) / length.clamp(min=1)


def _keys(draws: Draws, slots: Tensor, weight: Tensor | None, eligible: Tensor) -> Tensor:
    """(B, T) int64 keys, the smaller the sooner; each holds the number of its unit in its low bits.

    Keys are distinct, so every way to sort them gives the same order on every device.
    """
    if weight is None:
        keys = draws.hashes("order", slots)
    else:
        race = draws.uniform("order", slots).log_().neg_() / weight.double()
        keys = race.view(torch.int64)  # positive floats are ordered as their bits are
    return keys.bitwise_and_(_LAST ^ _SLOT).bitwise_or_(slots).masked_fill_(~eligible, _LAST)


def _sort(keys: Tensor) -> Tensor:
    """The keys of each row in rising order; the keys themselves are lost."""
    if hashing.on_host(keys):  # NumPy's sort is many times faster
        keys.numpy().sort(axis=1)
        return keys
    return keys.sort(dim=1).values
