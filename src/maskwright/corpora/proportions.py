"""How much of each source of a corpus is seen in training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maskwright.core.errors import UserError

REPLAY = "replay"  # the name of the source that `data.replay` describes


@dataclass(frozen=True)
class Proportions:
    """The shares that sources have of the examples of training.

    Args:
        weights: of the sources, by their names; empty if their sizes count.
        temperature: a source of n blocks counts as n^(1 / temperature): 1 takes sizes as they are, and larger ones
            make small sources more frequent (Conneau et al., 2020, have 1 / 0.3).
        replay: the share of the source `REPLAY`, from 0; None if there is none. The others share the rest.
    """

    weights: dict[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    replay: float | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Proportions":
        """Returns those of the config group `data`.

        Raises:
            UserError: some sources have a weight and others none, or a temperature is set beside weights.
        """
        sources, temperature = data.get("sources") or {}, data.get("temperature", 1.0)
        if REPLAY in sources:
            raise UserError("data.sources.replay: this is the name of data.replay. Choose another, or set that.")
        given = {name: own.get("weight") for name, own in sources.items()}
        weights = {name: float(weight) for name, weight in given.items() if weight is not None}
        if weights and (missing := [name for name in given if name not in weights]):
            raise UserError(
                f"data.sources.{missing[0]}.weight is not set, but data.sources.{next(iter(weights))}.weight is. "
                "Set all of them, or none, so that sizes count."
            )
        if weights and temperature != 1:
            raise UserError(
                f"data.temperature={temperature} is about the sizes of sources, but weights are set. Set "
                "data.temperature=1, or the weights to null."
            )
        replay = data.get("replay") or {}
        return cls(weights, temperature, replay.get("share", 0.1) if replay.get("source") is not None else None)

    @property
    def are_sizes(self) -> bool:
        """Whether each source is seen as often as any other, in proportion to its size."""
        return not self.weights and self.temperature == 1 and self.replay is None

    def shares(self, sizes: Mapping[str, int]) -> dict[str, float]:
        """Returns the share of each source, which add up to 1.

        Args:
            sizes: the number of blocks of each source, by its name.
        """
        own = {
            name: self.weights.get(name) or size ** (1 / self.temperature)
            for name, size in sizes.items()
            if name != REPLAY
        }
        rest, total = 1 - (self.replay or 0.0), sum(own.values())
        found = {name: rest * weight / total for name, weight in own.items()}
        return found if self.replay is None else found | {REPLAY: self.replay}
