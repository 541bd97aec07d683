"""Builds masks, data and task from settings."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypedDict

import torch
from torch import Tensor, nn

from maskwright.annotations.annotation import Annotation, identity
from maskwright.core.engines import Preparation
from maskwright.core.errors import UserError
from maskwright.corpora.recipe import check_held_out
from maskwright.data.corpus import Corpus
from maskwright.data.label_spec import LabelSpec
from maskwright.masking import Masker, Vocabulary
from maskwright.masking.protocols import declared_by
from maskwright.models import Encoder, complete, masked_lm_head
from maskwright.run.machine import on_gpu, precision_of
from maskwright.settings.build import build, check_type, find_target, takes, verify
from maskwright.settings.commands import EVALUATION_MASKS, PreviewSettings, TrainSettings
from maskwright.settings.component import Component
from maskwright.settings.convert import converted
from maskwright.settings.declared import check_model, without_lora
from maskwright.settings.mask import MaskSettings
from maskwright.settings.signature import parameters, type_hints
from maskwright.tasks import Task, TaskSpec
from maskwright.tasks.evaluation_masks import EvaluationMasks
from maskwright.text.tokenizer import Tokenizer

TOKENIZER = "maskwright.text.tokenizer.Pretrained"
_LONGEST = 1024  # tokens of a row that a model of the hub is tried with; longer ones would take a CPU minutes
_NO_MASK = -1  # the id of the mask token where a tokenizer has none, and nothing may be masked
EVALUATION_SEED = 0  # validation and test use the same masks whatever the seed of the run

# what an encoder gets besides its settings, the second one only if it takes it
_MODEL_INPUTS = ("vocabulary_size", "mask_id")
# what a data module gets that the group `data` does not hold
_DATA_INPUTS = "tokenizer seed accumulate_grad_batches workers preparation annotations target".split()

MaskParts = dict[str, Any]  # units, weights, ratio and corruption


class TaskInputs(TypedDict):
    """Objects that a task can get in addition to its config; it gets those that its `__init__` names."""

    encoder: Encoder
    smaller_encoder: Callable[[float], Encoder]  # of the same kind, whose widths are this share of the encoder's
    head: nn.Module | None  # for masked tokens, where the task predicts them
    head_settings: dict[str, Any]  # of a `MaskedLMHead`
    masker: Masker
    evaluation_masker: Masker | None  # where the task predicts masked tokens
    evaluation_masks: EvaluationMasks | None  # likewise, where there are any
    byte_lengths: Tensor  # (V,) the bytes of the text that each token stands for
    labels: LabelSpec | None
    optimizer: Any
    schedule: Any
    seed: int
    cross_document_attention: bool
    hyperparameters: dict[str, Any]


class _Deferred(NamedTuple):
    """A part of a mask that is built when the vocabulary is known, because its class takes `vocabulary_size`."""

    node: Component
    path: str


def verify_components(settings: TrainSettings) -> None:
    """Checks the arguments of all components against their classes, before any work is done.

    Raises:
        UserError: a class does not take an argument; the message names the key.
    """
    verify(without_lora(settings.model), "model", _MODEL_INPUTS)
    if (lora := settings.model.get("lora")) is not None:
        build(lora, "model.lora")
    check_model(settings.model)
    verify(settings.data, "data", _DATA_INPUTS)
    verify(settings.optimizer, "optimizer")
    for group, nodes in (("callbacks", settings.callbacks), ("logger", settings.logger)):
        for name, node in nodes.items():
            if node is not None:
                verify(node, f"{group}.{name}")
    verify(settings.task, "task", TaskInputs.__annotations__)
    check_held_out(settings.data.arguments)
    # components that need no other object are built, which also finds values out of range
    build(settings.schedule, "schedule")
    for key, value in settings.task.arguments.items():
        if isinstance(value, Component):
            build(value, f"task.{key}")


def task_spec(task: Component) -> TaskSpec:
    """Returns the specification of the task that a config names."""
    return find_target(task, "task").spec(task.arguments)


def other_data(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the keys `data` of a command on a finished run, with numbers in their types.

    Raises:
        UserError: a value has the wrong type.
    """
    hints = type_hints(Corpus)
    for key, value in given.items():
        if key in hints and value is not None:
            check_type(value, hints[key], f"data.{key}")
    return converted(given, hints)


def is_option(data: Mapping[str, Any]) -> bool:
    """Returns whether `data` of a command on a finished run is an option of the group, and not a few changes."""
    return "cleaning" in data or "sources" in data


def build_masks(settings: TrainSettings | PreviewSettings) -> dict[str, MaskParts]:
    """Returns units, weights, ratio and corruption of each mask, by its name in the config.

    Raises:
        UserError: a part does not accept its settings.
    """
    most_tokens = settings.tokenizer.get("vocabulary_size")
    return {
        name: {part: _build_part(node, f"{name}.{part}", most_tokens) for part, node in mask.parts.items()}
        for name, mask in settings.masks.items()
    }


def _build_part(node: Component, path: str, most_tokens: int | None) -> Any:
    if not takes(node, path, "vocabulary_size"):
        return build(node, path)
    verify(node, path, ["vocabulary_size"])
    if most_tokens is not None:  # finds values that the class refuses before a corpus is prepared
        build(node, path, vocabulary_size=most_tokens)
    return _Deferred(node, path)


def make_data(settings: TrainSettings | PreviewSettings, masks: dict[str, MaskParts]) -> Corpus:
    """Returns the data module, with the annotations that the masks need and the labels that the task learns from.

    Raises:
        UserError: the data does not accept its settings, or two masks need the same annotation with different
            settings.
    """
    label_kind = task_spec(settings.task).label_kind if isinstance(settings, TrainSettings) else None
    hardware = settings.hardware
    return build(
        settings.data,
        "data",
        tokenizer=build(settings.tokenizer, "tokenizer"),
        seed=settings.seed,
        accumulate_grad_batches=hardware.accumulate_grad_batches,
        workers=hardware.workers,
        preparation=Preparation(**settings.preparation.plain()),
        annotations=_annotations(masks),
        **({} if label_kind is None else {"target": label_kind}),
    )


def prepare(settings: TrainSettings | PreviewSettings) -> tuple[Corpus, dict[str, MaskParts]]:
    """Returns the data module, prepared and set up, and the parts of the masks that its annotations are for."""
    masks = build_masks(settings)
    data = make_data(settings, masks)
    data.prepare_data()
    data.setup()
    return data, masks


def _annotations(masks: dict[str, MaskParts]) -> list[Annotation]:
    found: dict[str, Annotation] = {}
    for mask, parts in masks.items():
        for name, part in parts.items():
            if not isinstance(part, Annotation):
                continue
            other = found.setdefault(part.name, part)
            if (identity(other), other.settings()) != (identity(part), part.settings()):
                raise UserError(
                    f"{mask}.{name} needs {part.name} with other settings than the other mask; make their settings "
                    "equal."
                )
    return list(found.values())


def vocabulary_of(tokenizer: Tokenizer, data: Corpus | None = None) -> Vocabulary:
    """Returns the vocabulary for masks; with `data`, it also holds how often each token occurs in training."""
    counts = None if data is None else data.tokens["train"].counts
    mask_id = tokenizer.mask_id if tokenizer.has_mask else _NO_MASK
    return Vocabulary(len(tokenizer), mask_id, tokenizer.ordinary_ids, counts)


def make_maskers(
    settings: TrainSettings | PreviewSettings, masks: dict[str, MaskParts], vocabulary: Vocabulary
) -> dict[str, Masker]:
    """Returns the maskers for training and evaluation, by their names in the config."""
    maskers = {}
    for name, mask in settings.masks.items():
        parts = {
            part: build(*value, vocabulary_size=vocabulary.size) if isinstance(value, _Deferred) else value
            for part, value in masks[name].items()
        }
        seed = settings.seed if name == "mask" else EVALUATION_SEED
        maskers[name] = Masker(**parts, vocabulary=vocabulary, seed=seed, dynamic=mask.dynamic)
    return maskers


def check_maskers(maskers: dict[str, Masker], data: Corpus) -> None:
    """Runs maskers on a sample of the training split.

    Raises:
        UserError: units or weights return invalid values.
    """
    sample = data.sample(64)
    for name, masker in maskers.items():
        try:
            masker.check(sample)
        except ValueError as error:
            raise UserError(f"{name}.{error}") from error


def make_encoder(settings: TrainSettings, tokenizer: Tokenizer) -> Encoder:
    """Returns the encoder of a config.

    Raises:
        UserError: it does not accept its settings, or cannot read the rows of the data.
    """
    model, extension = without_lora(settings.model), tokenizer.extension
    given = of_tokenizer(model, tokenizer)
    if extension is not None and settings.tokenizer.get("extend"):
        # words that this run adds get their rows when the encoder has its weights, see `run.adapting`
        given["vocabulary_size"] = extension.first
    encoder = complete(build(model, "model", **given))
    _check_rows(settings.data, encoder)
    return encoder


def _optimizer(settings: TrainSettings) -> Component:
    """Returns the optimizer; on a CPU, Muon multiplies in bfloat16 only where the run does."""
    own, hardware = settings.optimizer, settings.hardware
    if own.get("ns_dtype") != "auto" or on_gpu(hardware) or precision_of(hardware).startswith("bf16"):
        return own
    return own.replace(ns_dtype="float32")


def _smaller_encoder(settings: TrainSettings, tokenizer: Tokenizer, share: float) -> Encoder:
    """Returns a new encoder of the kind of a config, whose widths are a share of those there."""
    narrowed = find_target(settings.model, "model").narrowed(share, **settings.model.arguments)
    return make_encoder(settings.replace(model=settings.model.replace(**narrowed)), tokenizer)


def of_tokenizer(model: Component, tokenizer: Tokenizer) -> dict[str, int]:
    """Returns the arguments of an encoder that the tokenizer determines."""
    mask_id = tokenizer.mask_id if tokenizer.has_mask else _NO_MASK
    given = {"mask_id": mask_id} if takes(model, "model", "mask_id") else {}
    return {"vocabulary_size": len(tokenizer), **given}


def encoder_before_data(settings: TrainSettings) -> Encoder | None:
    """Returns the encoder if its vocabulary is known before a corpus is prepared, else None.

    A model of the hub is tried with rows as those of the data: some fail only at what they compute.

    Raises:
        UserError: see `make_encoder`; or the model fails at these rows.
    """
    if settings.tokenizer.target != TOKENIZER:
        return None
    tokenizer = build(settings.tokenizer, "tokenizer").make(lambda: iter(()))
    encoder = make_encoder(settings, tokenizer)
    if (try_rows := getattr(encoder, "try_rows", None)) is not None:
        length = min(settings.data["block_size"], _LONGEST)
        ordinary = torch.tensor(tokenizer.ordinary_ids[:1] or [tokenizer.sep_id]).expand(length - 2)
        row = torch.cat([torch.tensor([tokenizer.cls_id]), ordinary, torch.tensor([tokenizer.sep_id])])
        short = torch.arange(length) >= max(length // 2, 3)  # the second row is half padding
        ids = torch.stack([row, row.masked_fill(short, tokenizer.pad_id)])
        try_rows(ids, torch.stack([torch.ones_like(short), ~short]))
    return encoder


def make_task(
    settings: TrainSettings,
    maskers: dict[str, Masker],
    tokenizer: Tokenizer,
    labels: LabelSpec | None,
    encoder: Encoder | None = None,
) -> Task:
    """Returns the task of a config; no corpus is needed.

    Args:
        encoder: that of the config; None builds it.
    Raises:
        UserError: a component does not accept its settings, or components do not fit together.
    """
    spec, model = task_spec(settings.task), settings.model
    encoder = make_encoder(settings, tokenizer) if encoder is None else encoder
    head_settings = {key: model[key] for key in ("norm_epsilon", "initial_std") if key in model}
    inputs: TaskInputs = {
        "encoder": encoder,
        "smaller_encoder": partial(_smaller_encoder, settings, tokenizer),
        "head_settings": head_settings,
        "head": masked_lm_head(encoder, spec.reads_neighbours, **head_settings) if spec.predicts_tokens else None,
        "masker": maskers["mask"],
        "evaluation_masker": maskers.get("evaluation_mask") if spec.predicts_tokens else None,
        "evaluation_masks": _further(maskers, tokenizer) if spec.predicts_tokens else None,
        "byte_lengths": torch.from_numpy(tokenizer.byte_lengths),
        "labels": labels,
        "optimizer": build(_optimizer(settings), "optimizer"),
        "schedule": build(settings.schedule, "schedule"),
        "seed": settings.seed,
        "cross_document_attention": settings.data.get("cross_document_attention", True),
        "hyperparameters": {
            "config": settings.plain(),
            "vocabulary": tokenizer.digest,
            "started_in": os.getcwd(),  # where relative paths of the config begin
            "labels": None if labels is None else labels.to_dict(),
        },
    }
    named, _ = parameters(find_target(settings.task, "task"))
    return build(settings.task, "task", **{name: value for name, value in inputs.items() if name in named})


def _further(maskers: dict[str, Masker], tokenizer: Tokenizer) -> EvaluationMasks | None:
    """Returns the further masks of an evaluation; None if there are none.

    Raises:
        UserError: a mask hides nothing, or learns.
    """
    prefix = f"{EVALUATION_MASKS}."
    own = {name.removeprefix(prefix): masker for name, masker in maskers.items() if name.startswith(prefix)}
    for name, masker in own.items():  # again, since parts of masks may declare it of each object
        _check_evaluates(name, masker.masks, masker.learns)
    return EvaluationMasks(own, tokenizer.byte_lengths) if own else None


def check_further(masks: Mapping[str, MaskSettings], key: str) -> None:
    """Checks further masks of an evaluation, as far as their classes tell.

    Args:
        key: what they are masks of in the config.
    Raises:
        UserError: a mask hides nothing, or learns.
    """
    for name, mask in masks.items():
        units, weights, corruption = (
            find_target(mask.parts[part], f"{key}.{name}.{part}") for part in ("units", "weights", "corruption")
        )
        declared = declared_by(units, weights, corruption)
        _check_evaluates(name, declared.masks is not False, declared.learns is True)


def masks_any(mask: MaskSettings, key: str) -> bool:
    """Returns whether a mask hides any token, as far as its classes tell.

    Args:
        key: that of the mask in the config.
    """
    parts = (find_target(mask.parts[part], f"{key}.{part}") for part in ("units", "weights", "corruption"))
    return declared_by(*parts).masks is not False


def _check_evaluates(name: str, masks: bool, learns: bool) -> None:
    if not masks:
        raise UserError(f"The mask {name} hides no token, so that nothing can be evaluated. Leave it out.")
    if learns:
        raise UserError(
            f"The mask {name} follows what a model predicts while it is trained, and has seen nothing in an "
            "evaluation. Leave it out, or take token."
        )


def _check_rows(data: Component, encoder: Encoder) -> None:
    """Raises a UserError if the encoder cannot read the rows of the data."""
    max_length, block_size = encoder.max_length, data["block_size"]
    if max_length is not None and block_size > max_length:
        raise UserError(
            f"data.block_size={block_size}, but the model has {max_length} positions. Set it to at most that."
        )
    if not data.get("cross_document_attention", True) and not encoder.keeps_documents_apart:
        raise UserError(
            f"data.cross_document_attention=false, but {type(encoder).__name__} cannot keep the documents in a row "
            "apart. Set it to true."
        )
