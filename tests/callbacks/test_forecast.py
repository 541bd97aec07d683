"""When a run will end."""

import re

import pytest

from maskwright.callbacks import Forecast, forecast
from maskwright.core.errors import UserError


def lines(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("forecast:")]


def test_one_line_says_what_is_left_and_another_includes_validations(run, capsys):
    run("trainer.max_steps=9", "trainer.val_check_interval=4", "callbacks.forecast.steps=3")
    before, after = lines(capsys)
    assert re.fullmatch(
        r"forecast: [\d,]+ tokens/s, 6 steps left, which take .* until .*, without 2 validations", before
    )
    assert re.fullmatch(r"forecast: .* 5 steps left, .*, validations of .* included", after)


def test_a_run_that_is_limited_by_time(run, capsys):
    run(
        "trainer.max_steps=-1",
        "trainer.max_time=00:00:00:08",
        "trainer.val_check_interval=1000000",  # more steps than any machine does in the time
        "callbacks.forecast.steps=3",
    )
    assert re.fullmatch(
        r"forecast: .* about [\d,]+ steps left, which take [\d.]+ s until .*, fewer with 1 validation",
        lines(capsys)[0],
    )


def test_validations_by_the_clock_are_not_counted(run, capsys):
    run("trainer.max_steps=4", "trainer.val_check_interval='00:00:01:00'", "callbacks.forecast.steps=3")
    assert re.fullmatch(r"forecast: .* 1 steps left, .*, without validations", lines(capsys)[0])


def test_short_runs_say_nothing(run, capsys):
    run("trainer.max_steps=3", "callbacks.forecast.steps=3")
    assert lines(capsys) == []


def test_too_few_steps_are_refused(run):
    with pytest.raises(UserError, match="callbacks.forecast.steps is 2"):
        run("callbacks.forecast.steps=2")
    assert Forecast().steps == 20


def test_durations_are_short():
    assert [forecast._duration(s) for s in (0.4, 12, 61, 3599, 7260)] == [
        "0.4 s",
        "12 s",
        "1 min",
        "1 h 0 min",
        "2 h 1 min",
    ]
