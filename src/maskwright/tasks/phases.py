"""What a run learns in which share of it: causal prediction, masked prediction, or both."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from maskwright.core.errors import UserError, nearest

_KEYS = ("objective", "until")


class Phase(NamedTuple):
    """A part of a run with one objective.

    Attributes:
        causal_share: of the examples or steps that predict the next token; the others predict masked tokens.
        shift: whether a masked token is predicted from the hidden state of the position before it.
        until: the progress of the run at which the next phase begins; 1 for the last.
    """

    causal_share: float
    shift: bool
    until: float


def phases_of(settings: Mapping[str, Any]) -> list[Phase]:
    """Returns the phases that the keys below `task` describe.

    Args:
        settings: `phases`, each with its `objective` and the progress `until` which it lasts, None for one phase of
            `hybrid`; `causal_share` and `shift` of `hybrid`.
    Raises:
        UserError: an objective or a key is unknown, or the phases do not follow one another up to the end.
    """
    share, shift = float(settings.get("causal_share", 0.5)), bool(settings.get("shift", True))
    objectives = {"causal": (1.0, True), "mlm": (0.0, False), "mntp": (0.0, True), "hybrid": (share, shift)}
    if (given := settings.get("phases")) is None:
        return [Phase(share, shift, 1.0)]
    if not given:
        raise UserError("task.phases is empty. Name phases, or leave it at null for objective=hybrid throughout.")
    found: list[Phase] = []
    for number, own in enumerate(given):
        name, last = f"task.phases[{number}]", number == len(given) - 1
        _check_keys(name, own)
        objective = str(own.get("objective"))
        if objective not in objectives:
            raise UserError(
                f"{name}.objective={objective} does not exist.{nearest(objective, objectives)} It is one of "
                f"{', '.join(objectives)}."
            )
        until = _end(name, own.get("until"), last, found)
        found.append(Phase(*objectives[objective], until))
    return found


def _check_keys(name: str, own: Any) -> None:
    if not isinstance(own, Mapping):
        raise UserError(f"{name}={own!r} is no phase. A phase is {{objective: causal, until: 0.3}}.")
    for key in own:
        if key not in _KEYS:
            raise UserError(
                f"{name} has no key '{key}'.{nearest(str(key), _KEYS)} A phase has {' and '.join(_KEYS)}."
            )


def _end(name: str, until: Any, last: bool, before: Sequence[Phase]) -> float:
    """Returns the progress at which a phase ends."""
    if until is None and last:
        return 1.0
    if isinstance(until, bool) or not isinstance(until, int | float):
        raise UserError(f"{name}.until={until!r} is no share of the run. It is a number in (0, 1].")
    begin = before[-1].until if before else 0.0
    if not begin < until <= 1:
        raise UserError(
            f"{name}.until={until} does not come after {begin:g}, where the phase begins, or is more than 1. Ends "
            "of phases rise, in (0, 1]."
        )
    if last and until != 1:
        raise UserError(f"{name}.until={until}, but it is the last phase, which lasts until 1. Leave until out.")
    return float(until)
