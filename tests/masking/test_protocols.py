"""Members that parts of a mask declare, and the defaults of classes that declare fewer."""

import copy
import io

import pytest
import torch

from maskwright.masking import Adaptive, Constant, Corruption, Spans, Tokens, Uniform, Words, testing
from maskwright.masking.protocols import Declared, declared_by


class Pairs:
    """Units that declare nothing."""

    def __call__(self, batch, draws, budget):
        positions = torch.arange(batch["words"].shape[1], device=batch["words"].device)
        return torch.where(batch["words"] >= 0, positions // 2, -1)


class Observing:
    """Weights that learn, but declare nothing."""

    def __init__(self):
        self.seen = []

    def __call__(self, batch):
        return None

    def observe(self, targets, right, valid):
        self.seen.append(int(right[valid].sum()))


class Masking:
    """A corruption that declares nothing."""

    def __call__(self, targets, positions, draw_index, draws, mask_id, vocabulary):
        assert torch.equal(draw_index, positions)
        assert vocabulary.ordinary_ids.tolist() == list(range(testing.SPECIAL, testing.VOCABULARY))
        return torch.full_like(targets, mask_id)


def test_classes_that_declare_nothing_get_the_defaults():
    masker = testing.make_masker(Pairs(), Observing(), corruption=Masking(), ratio=0.5)
    batch = testing.make_batch(20, 40)
    masker.check(batch)
    assert masker.margin == 12
    masked = masker(batch)
    assert (masked.input_ids[testing.chosen(masked, 40)] == testing.MASK).all()
    masker.begin_step(1)
    assert masker.learns
    masker.observe(masked, masked.valid)
    assert masker.weights.seen == [int(masked.valid.sum())]


def test_our_own_classes_declare_members_that_differ_from_the_defaults():
    plain = declared_by(Words(), Uniform(), Corruption(1, 0, 0))
    assert (plain.margin, plain.single, plain.learns, plain.per) == (12, False, False, "token")
    other = declared_by(Tokens(), Adaptive(), Corruption(1, 0, 0, per="unit"))
    assert (other.margin, other.single, other.learns, other.per) == (None, True, True, "unit")
    assert isinstance(other, Declared)
    assert testing.make_masker(Spans()).margin == 24


def test_units_that_declare_no_margin_must_be_short():
    class Long(Pairs):
        def __call__(self, batch, draws, budget):
            return batch["words"].clamp(max=0)

    with pytest.raises(ValueError, match=r"Long returned a unit of 38 tokens.* `margin`"):
        testing.make_masker(Long()).check(testing.make_batch(4, 40))


def test_copies_of_a_masker_learn_independently():
    """The declared methods are bound to the copy, not to the original."""
    masker = testing.make_masker(Tokens(), Adaptive(every=1), Constant(0.5))
    file = io.BytesIO()
    torch.save(masker, file)
    file.seek(0)
    batch = testing.make_batch(20, 40)
    for other in (copy.deepcopy(masker), torch.load(file, weights_only=False)):
        masked = other(batch)
        other.observe(masked, masked.valid)
        other.begin_step(1)
        assert (other.weights.difficulty < 0.5).any()
        assert (masker.weights.difficulty == 1).all()
