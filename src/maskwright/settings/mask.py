"""The groups `mask` and `evaluation_mask`: what is masked, how much of it, and what replaces it."""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, StrictBool, field_validator

from maskwright.settings.base import Settings, broken_value
from maskwright.settings.component import Component

CONSTANT = "maskwright.masking.Constant"


def _share(ratio: float) -> float:
    if not 0 < ratio <= 1:
        raise broken_value(f"is {ratio}; a share of the tokens lies above 0 and is at most 1")
    return ratio


MaskedShare = Annotated[float, AfterValidator(_share)]


class MaskSettings(Settings):
    """See the comments in `conf/mask`."""

    parts_of: ClassVar[str | None] = "a mask"

    units: Component
    weights: Component
    ratio: float | Component  # a number is short for a constant ratio
    corruption: Component
    dynamic: StrictBool

    @field_validator("ratio")
    @classmethod
    def _is_a_share(cls, ratio: float | Component) -> float | Component:
        return ratio if isinstance(ratio, Component) else _share(ratio)

    @property
    def parts(self) -> dict[str, Component]:
        """Units, weights, ratio and corruption, by the names of the masker's arguments."""
        ratio = self.ratio if isinstance(self.ratio, Component) else Component(CONSTANT, {"value": self.ratio})
        return {"units": self.units, "weights": self.weights, "ratio": ratio, "corruption": self.corruption}


def _composed(masks: Any) -> Any:
    """Returns masks by their names; the command line makes these of a list of options, see `run.several`."""
    if isinstance(masks, list) and masks:
        raise broken_value(
            f"has the names {masks} in a file, where only the settings of masks can stand. Choose options in its "
            f"`defaults` instead: - mask@evaluation_masks.{masks[0]}: {masks[0]}"
        )
    return masks or {}


MasksByName = Annotated[dict[str, MaskSettings], BeforeValidator(_composed)]
