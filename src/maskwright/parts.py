"""Config -> data and maskers, which every door needs that shows or masks text."""

from typing import Any

from maskwright.build import build, takes
from maskwright.data.corpus import Corpus
from maskwright.errors import UserError
from maskwright.masking import Masker
from maskwright.text.annotations import Annotation, identity

MASKS = ("mask", "evaluation_mask")
EVALUATION_SEED = 0  # validation and test see the same masks whatever the seed of the run


def mask_parts(config: dict[str, Any], vocabulary_size: int = 1) -> dict[str, dict[str, Any]]:
    """Units, weights, ratio and corruption of the maskers that a config describes."""
    return {name: parts_of(config[name], name, vocabulary_size) for name in MASKS if name in config}


def parts_of(node: dict[str, Any], path: str, vocabulary_size: int) -> dict[str, Any]:
    """The four parts of one masker, by the names of its arguments."""
    parts = {}
    for part in ("units", "weights", "ratio", "corruption"):
        settings = node[part]
        if part == "ratio" and not isinstance(settings, dict):  # mask.ratio=0.3 is short for a constant ratio
            settings = {"_target_": "maskwright.masking.Constant", "value": settings}
        given = {"vocabulary_size": vocabulary_size} if takes(settings, f"{path}.{part}", "vocabulary_size") else {}
        parts[part] = build(settings, f"{path}.{part}", **given)
    return parts


def make_data(config: dict[str, Any], parts: dict[str, dict[str, Any]], target: str | None = None) -> Corpus:
    """The data module, with the annotations that units and weights ask for.

    Args:
        target: what a task learns from labels, see `LabelledData`.
    Raises:
        UserError: two masks want the same annotation with different settings.
    """
    hardware = config["hardware"]
    annotations: dict[str, Annotation] = {}
    for path, part in [(f"{mask}.{kind}", parts[mask][kind]) for mask in parts for kind in ("units", "weights")]:
        if isinstance(part, Annotation):
            other = annotations.setdefault(part.name, part)
            if (identity(other), other.settings()) != (identity(part), part.settings()):
                raise UserError(f"{path} wants other {part.name} than the other mask; make their settings equal.")
    return build(
        config["data"],
        "data",
        tokenizer=build(config["tokenizer"], "tokenizer"),
        seed=config["seed"],
        accumulate=hardware["accumulate"],
        workers=hardware["workers"],
        preparation_workers=hardware["preparation_workers"],
        annotations=list(annotations.values()),
        **({} if target is None else {"target": target}),
    )


def make_maskers(config: dict[str, Any], data: Corpus) -> dict[str, Masker]:
    """The maskers of training and evaluation, by their names in the config.

    Raises:
        UserError: units or weights answer what they must not.
    """
    tokenizer = data.tokenizer
    maskers = {
        name: Masker(
            **parts,
            mask_id=tokenizer.mask_id,
            ordinary_ids=tokenizer.ordinary_ids,
            seed=config["seed"] if name == "mask" else EVALUATION_SEED,
            dynamic=config[name]["dynamic"],
            counts=data.tokens["train"].counts,
        )
        for name, parts in mask_parts(config, len(tokenizer)).items()
    }
    sample = data.sample(64)
    for name, masker in maskers.items():
        try:
            masker.check(sample)
        except ValueError as error:
            raise UserError(f"{name}: {error}") from error
    return maskers
