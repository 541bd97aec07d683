"""Config -> data and maskers, which every door needs that shows or masks text."""

from collections.abc import Callable
from typing import Any

from maskwright.annotations.annotation import Annotation, identity
from maskwright.core.errors import UserError
from maskwright.data.corpus import Corpus
from maskwright.masking import Masker
from maskwright.models.pretrained.load import masked_lm_head
from maskwright.settings.build import build, find_target, parameters, takes
from maskwright.tasks import Task

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


def make_data(config: dict[str, Any], parts: dict[str, dict[str, Any]]) -> Corpus:
    """The data module of a task, if there is one, with the annotations that units and weights ask for.

    Raises:
        UserError: two masks want the same annotation with different settings.
    """
    hardware = config["hardware"]
    target = find_target(config["task"], "task").target if "task" in config else None
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


def make_task(config: dict[str, Any], data: Corpus) -> Task:
    """The task of a config, over data that is set up; each task gets what it takes of what there is.

    Raises:
        UserError: a part does not fit the data.
    """
    tokenizer = data.tokenizer
    labelled: Any = data  # where the task has a target
    model = config["model"]
    encoder = build(model, "model", vocabulary_size=len(tokenizer))
    _check_rows(config["data"], encoder)
    of_head = {key: model[key] for key in ("norm_epsilon", "initial_std") if key in model}
    maskers = make_maskers(config, data)
    offered: dict[str, Callable[[], Any]] = {
        "encoder": lambda: encoder,
        "head": lambda: masked_lm_head(encoder, **of_head),
        "masker": lambda: maskers["mask"],
        "evaluation_masker": lambda: maskers["evaluation_mask"],
        "names": lambda: labelled.names,
        "class_counts": lambda: labelled.counts.tolist(),
        "values": lambda: labelled.values,
        "optimizer": lambda: build(config["optimizer"], "optimizer"),
        "schedule": lambda: build(config["schedule"], "schedule"),
        "seed": lambda: config["seed"],
        "cross_document_attention": lambda: config["data"].get("cross_document_attention", True),
        "hyperparameters": lambda: {
            "config": config,
            "vocabulary": tokenizer.digest,
            "labels": getattr(data, "names", None),
            "values": labelled.values if getattr(data, "target", None) == "value" else None,
        },
    }
    named, _ = parameters(find_target(config["task"], "task"))
    return build(config["task"], "task", **{name: make() for name, make in offered.items() if name in named})


def _check_rows(data: dict[str, Any], encoder: Any) -> None:
    """Refuses rows that an encoder cannot read."""
    longest = getattr(encoder, "longest", None)
    if longest is not None and data["block_size"] > longest:
        raise UserError(
            f"data.block_size={data['block_size']}, and the model has {longest} positions. Set it to that."
        )
    if not data.get("cross_document_attention", True) and not getattr(encoder, "separates_documents", True):
        raise UserError(
            f"data.cross_document_attention=false, and {type(encoder).__name__} reads a row from end to end. Set "
            "it to true."
        )
