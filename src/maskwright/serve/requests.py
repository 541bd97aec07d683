"""What requests hold, by the names of their endpoints."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class TextRequest(BaseModel):
    """A text, or several."""

    model_config = ConfigDict(extra="forbid")

    text: str | list[str]


class FillRequest(TextRequest):
    """Texts with `[MASK]` or `<mask>` in them, or words that are to be hidden."""

    hide: list[str] = Field(default=[], max_length=16)
    method: Literal["independent", "left_to_right", "best_first", "beam"] = "independent"
    top_k: Annotated[int, Field(ge=1, le=50)] = 5
    beams: Annotated[int, Field(ge=1, le=50)] = 5


class ScoreRequest(TextRequest):
    """Texts whose pseudo-log-likelihood is asked for."""

    method: Literal["word_l2r", "original", "whole_word"] = "word_l2r"


class MaskRequest(TextRequest):
    """Texts that a strategy masks, by one of several draws."""

    strategy: str
    ratio: Annotated[float, Field(gt=0, le=1)] = 0.15
    draw: Annotated[int, Field(ge=0, lt=2**31)] = 0


class ExplainRequest(TextRequest):
    """Texts of which each word is hidden in turn."""

    target: str | None = None


REQUESTS: dict[str, type[TextRequest]] = {
    "fill": FillRequest,
    "score": ScoreRequest,
    "classify": TextRequest,
    "predict": TextRequest,
    "tag": TextRequest,
    "mask": MaskRequest,
    "explain": ExplainRequest,
}
