import numpy as np
import pytest
import torch

from maskwright.masking import (
    Blocks,
    Constant,
    Corruption,
    Cosine,
    Linear,
    Ngrams,
    Nothing,
    Runs,
    Sampled,
    Spans,
    Steps,
    Tokens,
    Words,
    testing,
)


def test_every_position_is_equally_likely():
    batch = testing.make_batch(1, 34)
    batch = {name: tensor.expand(20_000, *tensor.shape[1:]) for name, tensor in batch.items()}
    batch["examples"] = torch.arange(20_000)
    counts = testing.chosen(testing.make_masker(Tokens())(batch), 34)[:, 1:-1].sum(0).numpy()
    # without replacement the counts vary less than chi-squared assumes
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 32 + 5 * 8


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([-1, -1, -1, -1], {0}),  # nothing maskable
        ([-1, 0, -1, -1], {1}),  # one token: at least one is masked
        ([-1, 0, 0, -1], {2}),  # one word over its budget of one
        ([-1, *[0] * 60, -1], {9}),  # one giant word, far over the budget of nine: single tokens
        ([-1, *[0] * 30, *[1] * 30, *[2] * 30, *[3] * 36, -1], set(range(18, 21))),  # no word fits: single tokens
    ],
)
def test_short_rows(words, expected):
    masked = testing.make_masker(Words())(testing.batch_of_words(np.array([words])))
    assert int(masked.valid.sum()) in expected
    assert masked.positions.shape == masked.targets.shape == masked.valid.shape


def test_a_giant_word_does_not_keep_others_from_being_masked():
    words = np.tile([-1, *[0] * 60, *range(1, 67), -1], (200, 1))
    masked = testing.make_masker(Words())(testing.batch_of_words(words))
    assert masked.valid.sum(1).double().mean() == pytest.approx(19, abs=0.01)


def test_nothing_masks_no_token():
    batch = testing.make_batch(5, 20)
    masked = testing.make_masker(Nothing(), ratio=1.0)(batch)
    assert torch.equal(masked.input_ids, batch["input_ids"])
    assert not masked.valid.any()


def test_masks_do_not_depend_on_the_default_type():
    batch = testing.make_batch(100, 64)
    expected = testing.make_masker(Spans())(batch).input_ids
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(testing.make_masker(Spans())(batch).input_ids, expected)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("units", [Tokens(), Spans(), Blocks()])
@pytest.mark.parametrize("per", ["token", "unit"])
def test_a_selection_reads_no_token_ids(units, per):
    """Positions are selected by `words` alone; a call is a selection followed by a corruption."""
    masker = testing.make_masker(
        units, ratio=Sampled("uniform", 0.1, 0.5), corruption=Corruption(0.5, 0.3, 0.2, per)
    )
    batch = testing.make_batch(30, 50)
    selection = masker.select({name: batch[name] for name in ("words", "examples", "epochs")}, 0.5)
    masked, corrupted = masker(batch, 0.5), masker.corrupt(batch["input_ids"], selection)
    for one, other in zip(masked, corrupted, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(selection.positions, masked.positions)
    assert torch.equal(selection.valid, masked.valid)
    assert ((selection.ratio > 0.1) & (selection.ratio < 0.5)).all()
    assert selection.ratio.shape == (30,)
    if not isinstance(units, Tokens):
        assert torch.equal(selection.units, masker.units_in(batch, 0.5))
        assert (selection.units.gather(1, selection.positions)[selection.valid] >= 0).all()


def test_rows_that_are_too_long_are_refused():
    batch = testing.batch_of_words(np.zeros((1, 65_537), dtype=np.int64))
    with pytest.raises(ValueError, match="65,537 positions"):
        testing.make_masker()(batch)


def test_the_properties_detect_violations():
    """Each of these maskers violates a property; a property that cannot fail would be useless."""

    class Halves:
        """Masks special tokens too."""

        def __call__(self, batch, draws, budget):
            return torch.arange(batch["words"].shape[1]).expand_as(batch["words"]) // 2

    class Stateful:
        """Draws from a generator."""

        def __call__(self, batch):
            return torch.rand(batch["words"].shape)

    class ByRow:
        """Depends on the other rows of the batch."""

        def __call__(self, batch):
            return (
                torch.ones(batch["words"].shape) + torch.arange(len(batch["words"]))[:, None] % 2 * batch["words"]
            )

    class Looks(Words):
        """Makes a GPU wait."""

        def __call__(self, batch, draws, budget):
            return super().__call__(batch, draws, budget) * int(budget.max() > 0)

    class Square(Words):
        """Compares every position with every other."""

        def __call__(self, batch, draws, budget):
            words = batch["words"]
            return torch.where((words[:, :, None] == words[:, None, :]).any(2), words, -1)

    def fails(holds, **parts):
        with pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
            holds(lambda **changes: testing.make_masker(**parts | changes))

    fails(testing.special_tokens_are_never_hidden_and_nothing_else_changes, units=Halves())
    fails(testing.masks_do_not_depend_on_the_batch, weights=Stateful())
    fails(testing.masks_do_not_depend_on_the_batch, weights=ByRow())
    fails(testing.widths_are_known_without_a_look_at_the_data, units=Looks())
    fails(testing.memory_is_linear, units=Square())

    with pytest.raises(AssertionError):  # one seed for all
        testing.seeds_epochs_and_examples_are_uncorrelated(
            lambda **changes: testing.make_masker(**changes | {"seed": 0})
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(0), r"value is 0"),
        (lambda: Constant(True), r"value is True"),
        (lambda: Constant(float("nan")), r"value is nan"),
        (lambda: Linear(0.3, 0.0), r"end is 0\.0"),
        (lambda: Cosine(1.2, 0.1), r"start is 1\.2"),
        (lambda: Steps([0.3, 1.5], [0.5]), r"values\[1\] is 1\.5"),
        (lambda: Steps([0.3, 0.2], []), r"boundaries is \[\]"),
        (lambda: Steps([0.3, 0.2, 0.1], [0.5, 0.5]), r"boundaries is \[0\.5, 0\.5\]"),
        (lambda: Steps([0.3, 0.2], [1.0]), r"boundaries is \[1\.0\]"),
        (lambda: Sampled("normal"), r"distribution is 'normal'"),
        (lambda: Sampled("uniform", 0.5, 0.5), "low=0.5 to high=0.5"),
        (lambda: Sampled("uniform", -0.1, 0.5), "low=-0.1"),
        (lambda: Sampled("set"), r"values is empty"),
        (lambda: Sampled("set", values=[0.1, 0.0]), r"values\[1\] is 0\.0"),
        (lambda: Corruption(0.8, 0.1, 0.2), "add up to 1"),
        (lambda: Corruption(1.2, -0.1, -0.1), "not be negative"),
        (lambda: Corruption(float("nan"), 0.1, 0.1), "shares mask=nan"),
        (lambda: Corruption(0.8, 0.1, 0.1, per="word"), r"per is 'word'"),
        (lambda: Corruption(0.8, 0.1, 0.1, replacements="all"), r"replacements is 'all'"),
        (lambda: Spans(p=0.0), r"p is 0"),
        (lambda: Spans(max_words=0), r"max_words is 0"),
        (lambda: Ngrams(0), r"max_words is 0"),
        (lambda: Ngrams(3, "normal"), r"distribution is 'normal'"),
        (lambda: Ngrams(3, [0.5, 0.5]), r"distribution has 2 probabilities; max_words=3"),
        (lambda: Ngrams(2, [0.5, 0.6]), "add up to 1"),
        (lambda: Ngrams(2, [1.5, -0.5]), "not negative"),
        (lambda: Blocks(columns=0), r"columns=0"),
        (lambda: Blocks(aspect=(2.0, 1.0)), r"aspect is \[2\.0, 1\.0\]"),
    ],
)
def test_invalid_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_runs_can_be_used_directly():
    assert Runs([0.25, 0.75]).limits == [0.25]
