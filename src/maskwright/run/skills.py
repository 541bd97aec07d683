"""What a server is asked of masked models and of predictors, whatever computes their answers."""

from collections.abc import Callable, Sequence
from typing import Any

from maskwright.corpora.cleaning import Cleaner
from maskwright.corpora.inputs import Input, WordRule, inputs
from maskwright.data.label_spec import LabelKind
from maskwright.inference.asked import AskedModel
from maskwright.inference.fill import fill
from maskwright.inference.fill import row_of as row_of_fills
from maskwright.inference.score import row_of as row_of_score
from maskwright.inference.score import score
from maskwright.serve.engine import Row, Skill
from maskwright.text.masked_text import MaskReader

_ENDPOINTS: dict[LabelKind, str] = {"class": "classify", "labels": "classify", "value": "predict", "tags": "tag"}


def rule_of(kind: LabelKind) -> WordRule | None:
    """Returns how texts are split into words that get labels."""
    return "punctuation" if kind == "tags" else None


def of_masks(model: AskedModel) -> dict[str, Skill]:
    """Returns `fill` and `score`."""
    reader = MaskReader(model)

    def check_length(text: str, **options: Any) -> None:
        model.encode([text], "refuse")

    def check_fill(text: str, hide: Sequence[str], **options: Any) -> None:
        reader.read([text], hide, "refuse")

    def filled(texts: list[str], hide: Sequence[str], method: Any, top_k: int, beams: int) -> list[Row]:
        read = reader.read(texts, hide, "refuse")
        found = fill(model, read, method, top_k, beams)
        return [row_of_fills(reader, text, fills, top_k) for text, fills in zip(read, found, strict=True)]

    def scored(texts: list[str], method: Any) -> list[Row]:
        return [row_of_score(found, model.tokenizer) for found in score(model, texts, method, "refuse")]

    return {"fill": Skill(filled, check_fill), "score": Skill(scored, check_length)}


def of_labels(kind: LabelKind, clean: Cleaner, predict: Callable[[list[Input]], list[Row]]) -> dict[str, Skill]:
    """Returns `classify`, `predict` or `tag`."""

    def answer(texts: list[str]) -> list[Row]:
        # each text is a document of its own, and gets no context from the others
        return predict(list(inputs(texts, clean, rule_of(kind))))

    return {_ENDPOINTS[kind]: Skill(answer)}
