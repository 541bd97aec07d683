"""Properties that hold for every mask, as functions for the tests of your own strategies and of ours.

    import pytest
    from maskwright.masking import testing

    @pytest.mark.parametrize("holds", testing.PROPERTIES, ids=lambda holds: holds.__name__)
    def test_my_units(holds):
        holds(lambda **changes: testing.make_masker(units=MyUnits(), **changes))

A property takes a function that makes the masker, and that accepts `ratio`, `corruption`, `seed` and `dynamic`. It
raises an AssertionError if it does not hold. Units and weights that read more from a batch than ids and words need
batches of their own: `holds(make, my_make_batch)`.

Requires scipy and hypothesis, which `pip install maskwright[dev]` installs.
"""

import unittest
from collections.abc import Callable
from typing import Any, Protocol
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from maskwright.masking.corruption import Corruption
from maskwright.masking.masker import Masked, Masker
from maskwright.masking.ratio import Constant
from maskwright.masking.units import Words
from maskwright.masking.vocabulary import Vocabulary
from maskwright.masking.weights import Uniform

VOCABULARY = 1000
SPECIAL = 5  # ids below are special tokens
PAD, CLS, SEP, MASK = 0, 2, 3, 4

Make = Callable[..., Masker]


class MakeBatch(Protocol):
    def __call__(self, rows: int, length: int, seed: int = 0) -> dict[str, Tensor]: ...


def make_masker(
    units: Any = None,
    weights: Any = None,
    ratio: Any = 0.15,
    corruption: Any = None,
    seed: int = 0,
    dynamic: bool = True,
) -> Masker:
    """A masker for the batches of `make_batch`; `ratio` may be a number."""
    return Masker(
        units or Words(),
        weights or Uniform(),
        Constant(ratio) if isinstance(ratio, float) else ratio,
        corruption or Corruption(0.8, 0.1, 0.1),
        Vocabulary(VOCABULARY, MASK, range(SPECIAL, VOCABULARY), np.arange(VOCABULARY)),
        seed=seed,
        dynamic=dynamic,
    )


def make_batch(rows: int, length: int, seed: int = 0, continues: float = 0.3) -> dict[str, Tensor]:
    """[CLS], random words and [SEP] in each row; a token continues the word before it with a probability.

    Holds what the strategies of this project read: runs of words as collocations and entities, and weights.
    """
    draw = np.random.default_rng(seed)
    ids = draw.integers(SPECIAL, VOCABULARY, (rows, length))
    ids[:, 0], ids[:, -1] = CLS, SEP
    words = np.full((rows, length), -1)
    words[:, 1:-1] = (draw.random((rows, length - 2)) > continues).cumsum(1)
    words[:, 1:-1] -= words[:, 1:2]
    return batch_of_words(words, ids, seed)


def batch_of_words(words: np.ndarray, ids: np.ndarray | None = None, seed: int = 0) -> dict[str, Tensor]:
    """A batch with the given `words` (B, T), -1 where nothing may be masked, and random ids."""
    draw = np.random.default_rng(seed)
    rows, length = words.shape
    if ids is None:
        ids = np.where(words < 0, SEP, draw.integers(SPECIAL, VOCABULARY, words.shape))
    of_word = draw.random((rows, length)).astype(np.float32)  # a number for each word of a row
    number = words.clip(min=0)
    grouped = np.where(words >= 0, np.take_along_axis((of_word > 0.3).cumsum(1) - 1, number, 1).clip(min=0), -1)
    weights = np.where(words >= 0, np.take_along_axis(of_word, number, 1) + np.float32(0.01), np.float32(0))
    batch = {
        "input_ids": ids,
        "words": words,
        "examples": np.arange(rows),
        "epochs": np.zeros(rows, dtype=np.int64),
        "collocations": grouped,
        "entities": grouped,
        "frequency": weights,
        "tfidf": weights,
        "lexicon": np.where(weights > 0.8, weights, np.float32(0)),
    }
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in batch.items()}


def chosen(masked: Masked, length: int) -> Tensor:
    """(B, T) bool of the masked positions."""
    out = torch.zeros(len(masked.positions), length, dtype=torch.bool)
    rows = torch.arange(len(out))[:, None].expand_as(masked.positions)
    out[rows[masked.valid], masked.positions[masked.valid]] = True
    return out


def units_of(masker: Masker, batch: dict[str, Tensor], progress: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The budget (B,) of each row, and (B, T) the units that may be taken, -1 elsewhere."""
    draws = masker.draws(batch)
    ratio = masker.ratio(progress, draws)
    budget = np.maximum(np.floor(np.asarray(ratio) * (batch["words"] >= 0).sum(1).numpy() + 0.5), 1).astype(int)
    units = masker.units(batch, draws, torch.from_numpy(budget)[:, None]).numpy()
    weight = masker.weights(batch)
    weights = np.ones(units.shape) if weight is None else weight.double().numpy()
    longest = masker.margin + budget // 8 if masker.margin else budget
    inside = units >= 0
    row = np.nonzero(inside)[0]
    pairs = row * (units.max(initial=0) + 1) + units[inside]
    _, first, unit, size = np.unique(pairs, return_index=True, return_inverse=True, return_counts=True)
    mean = np.bincount(unit, weights[inside], len(size)) / size
    fits = np.zeros_like(inside)
    fits[inside] = ((size <= longest[row[first]]) & (mean > 0))[unit]
    alone = np.where(inside & (weights > 0), np.arange(units.shape[1]), -1)  # where nothing fits, each token is one
    return budget, np.where(fits.any(1, keepdims=True), np.where(fits, units, -1), alone)


def budgets_are_met_within_a_unit(make: Make, batches: MakeBatch = make_batch) -> None:
    """A row hides round(ratio * maskable tokens), or all that may be hidden, to within its longest unit."""
    for ratio in (0.05, 0.15, 0.4):
        masker, batch = make(ratio=ratio), batches(200, 96)
        budget, units = units_of(masker, batch)
        hidden = chosen(masker(batch), 96).sum(1).numpy()
        for row, expected, found in zip(units, budget, hidden, strict=True):
            _, sizes = np.unique(row[row >= 0], return_counts=True)
            longest, available = (int(sizes.max()), int(sizes.sum())) if len(sizes) else (0, 0)
            assert abs(min(expected, available) - found) <= (longest if available > expected else 0)


def shares_are_exact_over_100k_tokens(make: Make, batches: MakeBatch = make_batch) -> None:
    """Over 100,000 tokens the number of hidden ones lies within 3 % of the sum of the budgets."""
    masker, batch = make(ratio=0.15), batches(1600, 128)
    budget, units = units_of(masker, batch)
    assert (batch["words"] >= 0).sum() > 100_000
    expected = np.minimum(budget, (units >= 0).sum(1)).sum()
    assert abs(int(masker(batch).valid.sum()) - expected) <= 0.03 * expected


def units_are_hidden_whole_or_not_at_all(make: Make, batches: MakeBatch = make_batch) -> None:
    masker, batch = make(ratio=0.15), batches(300, 96)
    _, units = units_of(masker, batch)
    hidden = chosen(masker(batch), 96).numpy()
    assert not hidden[units < 0].any()
    for row, mask in zip(units, hidden, strict=True):
        for unit in np.unique(row[mask]):
            assert mask[row == unit].all()


def special_tokens_are_never_hidden_and_nothing_else_changes(make: Make, batches: MakeBatch = make_batch) -> None:
    masker, batch = make(ratio=0.4), batches(200, 64)
    masked = masker(batch)
    hidden = chosen(masked, 64)
    assert not hidden[batch["words"] < 0].any()
    assert torch.equal(masked.input_ids[~hidden], batch["input_ids"][~hidden])
    assert torch.equal(masked.targets[masked.valid], batch["input_ids"].gather(1, masked.positions)[masked.valid])
    assert (masked.positions.diff(dim=1) > 0)[masked.valid[:, 1:]].all()
    assert (masked.positions[~masked.valid] == 0).all()


def replacements_cover_the_vocabulary_but_no_special_token(make: Make, batches: MakeBatch = make_batch) -> None:
    """Chi-squared of uniform replacements, and of those by frequency, at p > 1e-4."""
    from scipy import stats

    batch = batches(1500, 128)
    by_frequency = np.arange(VOCABULARY) + 1.0
    for corruption, expected in (
        (Corruption(0, 1, 0), np.ones(VOCABULARY)),
        (Corruption(0.5, 0.5, 0, replacements="frequency"), by_frequency),
    ):
        masked = make(ratio=0.4, corruption=corruption)(batch)
        shown = masked.input_ids.gather(1, masked.positions)[masked.valid]
        counts = shown[shown != MASK].bincount(minlength=VOCABULARY).numpy()
        assert counts[:SPECIAL].sum() == 0
        if counts.sum() > 10 * VOCABULARY:
            expected = expected[SPECIAL:] / expected[SPECIAL:].sum() * counts.sum()
            assert stats.chisquare(counts[SPECIAL:], expected).pvalue > 1e-4


def corruption_is_80_10_10(make: Make, batches: MakeBatch = make_batch) -> None:
    """Chi-squared of masked, random and kept tokens at p > 1e-4."""
    from scipy import stats

    masked = make(ratio=0.3, corruption=Corruption(0.8, 0.1, 0.1))(batches(1500, 128))
    shown = masked.input_ids.gather(1, masked.positions)[masked.valid]
    targets = masked.targets[masked.valid]
    if len(targets) < 1000:
        return
    is_mask, is_kept = int((shown == MASK).sum()), int((shown == targets).sum())
    ordinary = VOCABULARY - SPECIAL  # a random replacement is the token itself with a probability of 1 / ordinary
    expected = np.array([0.8, 0.1 * (1 - 1 / ordinary), 0.1 * (1 + 1 / ordinary)]) * len(targets)
    assert stats.chisquare([is_mask, len(targets) - is_mask - is_kept, is_kept], expected).pvalue > 1e-4


def draws_of_units_are_shared(make: Make, batches: MakeBatch = make_batch) -> None:
    """With `per: unit` all tokens of a unit show the mask, or none does."""
    masker, batch = make(ratio=0.3, corruption=Corruption(0.5, 0, 0.5, per="unit")), batches(200, 96)
    draws = masker.draws(batch)
    units = masker.units(batch, draws, masker.budget(batch, draws, 0.0))
    masked = masker(batch)
    for row in range(len(units)):
        hidden = masked.positions[row][masked.valid[row]]
        for unit in units[row, hidden].unique():
            shows_mask = masked.input_ids[row, hidden[units[row, hidden] == unit]] == MASK
            assert shows_mask.all() or not shows_mask.any()


def masks_do_not_depend_on_the_batch(make: Make, batches: MakeBatch = make_batch) -> None:
    """On its size, its order, or what its rows are padded with; so neither on workers nor on devices."""
    masker, batch = make(ratio=0.15), batches(64, 96)
    whole = masker(batch).input_ids
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    for rows in order.split(7):
        assert torch.equal(masker({name: tensor[rows] for name, tensor in batch.items()}).input_ids, whole[rows])
    wider = {
        name: F.pad(tensor, (0, 40), value=PAD if tensor.is_floating_point() or name == "input_ids" else -1)
        for name, tensor in batch.items()
        if tensor.ndim == 2
    }
    assert torch.equal(masker(batch | wider).input_ids[:, :96], whole)


def masks_are_the_same_on_a_gpu(make: Make, batches: MakeBatch = make_batch) -> None:
    """Where there is one."""
    if not torch.cuda.is_available():
        raise unittest.SkipTest("there is no GPU")
    masker, batch = make(ratio=0.15), batches(256, 128)
    here = masker(batch)
    there = masker.cuda()({name: tensor.cuda() for name, tensor in batch.items()})
    assert torch.equal(here.input_ids, there.input_ids.cpu())
    assert torch.equal(chosen(here, 128), chosen(Masked(*(tensor.cpu() for tensor in there)), 128))


def what_gpus_compute_is_the_same(make: Make, batches: MakeBatch = make_batch) -> None:
    """The operations that are used on a GPU, on this CPU: another hash, another sort, no look at the data."""
    with mock.patch("maskwright.core.hashing.on_host", lambda x: isinstance(x, np.ndarray)):
        there = [make(ratio=ratio)(batches(60, length)) for ratio, length in _SIZES]
    for (ratio, length), far in zip(_SIZES, there, strict=True):
        near = make(ratio=ratio)(batches(60, length))
        assert far.valid.shape[1] == make(ratio=ratio).bound(length)
        assert torch.equal(near.input_ids, far.input_ids)
        assert torch.equal(chosen(near, length), chosen(far, length))
        assert torch.equal(near.targets[near.valid], far.targets[far.valid])


_SIZES = ((0.02, 40), (0.15, 128), (0.4, 96), (1.0, 30))


def precision_changes_no_mask(make: Make, batches: MakeBatch = make_batch) -> None:
    """A masker that was cast to bfloat16, as in `hardware.precision=bf16-true`, masks what it did before."""
    batch = batches(100, 96)
    by_frequency = Corruption(0.2, 0.7, 0.1, replacements="frequency")
    expected = make(ratio=0.15, corruption=by_frequency)(batch)
    assert torch.equal(make(ratio=0.15, corruption=by_frequency).bfloat16()(batch).input_ids, expected.input_ids)


def seeds_epochs_and_examples_are_uncorrelated(make: Make, batches: MakeBatch = make_batch) -> None:
    """The same row under neighbouring seeds, epochs and examples: correlations below 5 / sqrt(draws)."""
    number = 3000
    row = {name: tensor.expand(number, *tensor.shape[1:]) for name, tensor in batches(1, 64).items()}
    zero, count = torch.zeros(number, dtype=torch.int64), torch.arange(number)
    masker = make(ratio=0.15)
    by_epoch = chosen(masker(row | {"epochs": count, "examples": zero}), 64).double()
    by_example = chosen(masker(row | {"epochs": zero, "examples": count}), 64).double()
    by_seed = chosen(make(ratio=0.15, seed=1)(row | {"epochs": count, "examples": zero}), 64).double()
    varies = (by_epoch.mean(0) > 0.01) & (by_epoch.mean(0) < 0.99)
    if not varies.any():  # nothing to choose between
        return
    pairs = [
        (by_epoch[1:], by_epoch[:-1]),
        (by_example[1:], by_example[:-1]),
        (by_epoch, by_seed),
        (by_epoch, by_example),
    ]
    for one, other in pairs:
        assert not torch.equal(one, other)
        product = ((one - one.mean(0)) * (other - other.mean(0))).mean(0)[varies]
        correlation = product / (one.std(0) * other.std(0))[varies]
        assert correlation.abs().max() < 5 / number**0.5, correlation.abs().max()


def static_masks_repeat_and_dynamic_ones_do_not(make: Make, batches: MakeBatch = make_batch) -> None:
    batch = batches(64, 96)
    later = batch | {"epochs": torch.full((64,), 7)}
    static = make(ratio=0.15, dynamic=False)
    assert torch.equal(static(batch).input_ids, static(later).input_ids)
    dynamic = make(ratio=0.15, dynamic=True)
    assert torch.equal(dynamic(batch).input_ids, static(batch).input_ids)
    if dynamic(batch).valid.any():
        assert not torch.equal(dynamic(batch).input_ids, dynamic(later).input_ids)


def odd_rows_have_a_defined_result(make: Make, batches: MakeBatch = make_batch) -> None:
    """Only special tokens, one token, one giant word, no row at all, ratio 1: valid indices, a finite loss."""
    length = 80
    rows = np.full((5, length), -1)
    rows[1, 1] = 0
    rows[2, 1:3] = 0
    rows[3, 1:-1] = 0
    rows[4, 1:60] = 0
    rows[4, 60:-1] = np.arange(1, 20)
    logits = torch.randn(length, VOCABULARY, generator=torch.Generator().manual_seed(0))
    for words in (rows, rows[:1], rows[:0]):
        batch = _completed(batch_of_words(words), batches)
        for ratio in (0.01, 0.15, 1.0):
            masker = make(ratio=ratio)
            masked = masker(batch)
            hidden = chosen(masked, length)
            assert not hidden[batch["words"] < 0].any()
            _, units = units_of(masker, batch)
            available = torch.from_numpy((units >= 0).sum(1))
            found = hidden.sum(1)
            assert ((found > 0) == (available > 0)).all()
            assert (found <= available).all()
            if ratio == 1.0:
                assert (found == available).all()
            targets = masked.targets.where(masked.valid, -100).flatten()
            total = F.cross_entropy(
                logits[masked.positions].flatten(0, 1), targets, ignore_index=-100, reduction="sum"
            )
            assert torch.isfinite(total / masked.valid.sum().clamp(min=1))


def widths_are_known_without_a_look_at_the_data(make: Make, batches: MakeBatch = make_batch) -> None:
    """No row hides more than `bound`, and masking runs on tensors without data, so no device is waited for."""
    for ratio in (0.02, 0.15, 0.5, 1.0):
        masker, batch = make(ratio=ratio), batches(40, 96)
        bound = masker.bound(96)
        assert masker(batch).valid.shape[1] <= bound <= 96
        nowhere = make(ratio=ratio).to("meta")({name: tensor.to("meta") for name, tensor in batch.items()})
        assert nowhere.positions.shape == nowhere.targets.shape == nowhere.valid.shape == (40, bound)
        assert nowhere.input_ids.shape == (40, 96)


def _completed(batch: dict[str, Tensor], batches: MakeBatch) -> dict[str, Tensor]:
    """Returns the batch with the tensors that only `batches` makes, cleared where nothing may be masked."""
    rows, length = batch["words"].shape
    more = batches(max(rows, 1), length + 2)
    for name in more.keys() - batch.keys():
        nothing = 0 if more[name].is_floating_point() else -1
        batch[name] = more[name][:rows, 1:-1].where(batch["words"] >= 0, nothing)
    return batch


class _Largest(TorchDispatchMode):
    """The most elements of a tensor that an operation makes."""

    elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        tensors = out if isinstance(out, (tuple, list)) else [out]
        self.elements = max([self.elements, *(t.numel() for t in tensors if isinstance(t, Tensor))])
        return out


def memory_is_linear(make: Make, batches: MakeBatch = make_batch) -> None:
    """No tensor holds more than a few numbers per token, however long the rows are."""
    masker = make(ratio=0.15).to("meta")
    for length in (128, 512):
        batch = {name: tensor.to("meta") for name, tensor in batches(8, length).items()}
        with _Largest() as largest:
            masker(batch)
        assert largest.elements <= max(2 * 8 * length, 1000), largest.elements


def random_rows_hold_what_the_others_say(make: Make, batches: MakeBatch = make_batch) -> None:
    """Any mixture of words of any length and of gaps (hypothesis)."""
    from hypothesis import given, settings
    from hypothesis import strategies as st

    maskers: dict[float, Masker] = {}

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(
        st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=30), min_size=1, max_size=5),
        st.sampled_from([0.01, 0.15, 0.5, 1.0]),
        st.integers(0, 2**40),
    )
    def holds(rows: list[list[int]], ratio: float, example: int) -> None:
        length = max(sum(row) + len(row) for row in rows)
        words = np.full((len(rows), length), -1)
        for i, row in enumerate(rows):
            at = 0
            for word, size in enumerate(row):
                words[i, at : at + size] = word
                at += size + 1
        batch = _completed(batch_of_words(words, seed=example % 1000), batches)
        batch["examples"] += example
        masker = maskers.setdefault(ratio, make(ratio=ratio))
        hidden = chosen(masker(batch), length).numpy()
        budget, units = units_of(masker, batch)
        assert not hidden[units < 0].any()
        for row, mask, expected in zip(units, hidden, budget, strict=True):
            _, sizes = np.unique(row[row >= 0], return_counts=True)
            if len(sizes):
                assert all(mask[row == unit].all() for unit in np.unique(row[mask]))
                assert abs(min(expected, sizes.sum()) - mask.sum()) <= (
                    sizes.max() if sizes.sum() > expected else 0
                )

    holds()


PROPERTIES = [
    budgets_are_met_within_a_unit,
    shares_are_exact_over_100k_tokens,
    units_are_hidden_whole_or_not_at_all,
    special_tokens_are_never_hidden_and_nothing_else_changes,
    replacements_cover_the_vocabulary_but_no_special_token,
    corruption_is_80_10_10,
    draws_of_units_are_shared,
    masks_do_not_depend_on_the_batch,
    masks_are_the_same_on_a_gpu,
    what_gpus_compute_is_the_same,
    precision_changes_no_mask,
    seeds_epochs_and_examples_are_uncorrelated,
    static_masks_repeat_and_dynamic_ones_do_not,
    odd_rows_have_a_defined_result,
    widths_are_known_without_a_look_at_the_data,
    memory_is_linear,
    random_rows_hold_what_the_others_say,
]
