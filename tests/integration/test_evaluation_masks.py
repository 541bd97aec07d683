"""Further masks that training runs are validated and tested with."""

import math

import pytest

from maskwright.core.errors import UserError
from maskwright.run.several import expanded

MASKS = expanded(["evaluation_masks=[token,span]"], "train")
BOTH = [f"{split}/{mask}" for split in ("validation", "test") for mask in ("token", "span")]


def results(metrics: dict[str, float]) -> dict[str, float]:
    return {
        name: value for name, value in metrics.items() if name.startswith(("train/loss", "validation/", "test/"))
    }


def test_they_are_logged_and_change_no_other_number(run):
    own = ["mask=span", "trainer.max_steps=4", "trainer.val_check_interval=2"]
    plain = run(*own)
    result = run(*own, *MASKS, "objective=validation/span/loss", "evaluation_masks.span.units.max_words=3")
    assert results(plain.metrics).items() <= result.metrics.items()
    for name in ("validation", "test"):
        # the same mask as `evaluation_mask`, in the same seed and share
        assert result.metrics[f"{name}/token/loss"] == result.metrics[f"{name}/loss"]
        assert result.metrics[f"{name}/token/accuracy"] == result.metrics[f"{name}/accuracy"]
    for name in BOTH:
        length = result.metrics[f"{name}/loss"] / math.log(2) / result.metrics[f"{name}/bits_per_byte"]
        assert 1 < length < 8  # bytes of a token
    assert result.objective == result.metrics["validation/span/loss"]
    # a run that is resumed may have others
    again = run(*own, *MASKS, "trainer.max_steps=5", f"ckpt_path={plain.run_dir}", run_dir=plain.run_dir)
    assert again.metrics["test/token/loss"] == again.metrics["test/loss"]


def test_a_task_that_predicts_masked_tokens_too_has_them(run, reviews, capsys):
    own = ["data=csv", f"data.source={reviews}", "trainer.max_steps=1"]
    result = run("task=multitask", "mask=token", *own, *MASKS)
    assert result.metrics["test/token/loss"] == result.metrics["test/mlm_loss"]
    assert result.metrics["test/span/loss"] > 0
    with pytest.raises(UserError, match=r"evaluation_masks=token,span, but task=Classification predicts no masked"):
        run("task=classification", *own, *MASKS)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluation_masks=none"], "The mask none hides no token, so that nothing can be evaluated"),
        (["evaluation_masks=adaptive"], "The mask adaptive follows what a model predicts while it is trained"),
        (
            ["evaluation_masks=token", "evaluation_masks.token.ratio=2"],
            r"evaluation_masks\.token\.ratio is 2.0; a share",
        ),
        (["evaluation_masks=token", "objective=validation/tokn/loss"], "Did you mean 'validation/token/loss'"),
        (
            ["evaluation_masks=token", "objective=validation/token/accuracy"],
            "a higher validation/token/accuracy is better",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused(run, overrides, message):
    with pytest.raises(UserError, match=message):
        run(*expanded(overrides, "train"))
