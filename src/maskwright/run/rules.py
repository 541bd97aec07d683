"""Rules between settings of different groups, checked before any work is done."""

from collections.abc import Iterator, Sequence

from lightning import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins.environments import LightningEnvironment

from maskwright.core.errors import UserError, nearest
from maskwright.corpora.recipe import sources_of
from maskwright.optim import adamw, em, muon
from maskwright.run import machine
from maskwright.run.assemble import check_further, masks_any, task_spec
from maskwright.settings.build import build, find_target, takes
from maskwright.settings.commands import EVALUATION_MASKS, TrainSettings
from maskwright.settings.component import Component
from maskwright.settings.declared import brings_tokenizer, lora_of, trains_tokenizer
from maskwright.settings.signature import parameters
from maskwright.tasks.evaluation_masks import METRICS as MASKED_METRICS

_SPLITS = ("validation", "test")
# arguments of the trainer that have no effect here, or another than they say, and what to use instead
_NOT_FOLLOWED = {
    "limit_train_batches": "the batches of training have no end, and these few would be repeated for ever. Set "
    "trainer.max_steps for fewer steps, or data.limit for less text",
    "overfit_batches": "training and validation have different batches. Set data.limit for less text",
    "limit_predict_batches": "a training run predicts nothing",
    "fast_dev_run": "it would leave out checkpoints and loggers. Set experiment=dry_run",
    "barebones": "it would leave out checkpoints and loggers. Set callbacks=none logger=none",
    "min_epochs": "to the trainer, a run is one epoch. Set trainer.min_steps",
    "reload_dataloaders_every_n_epochs": "to the trainer, a run is one epoch",
}


def check(settings: TrainSettings) -> None:
    """Applies all rules.

    Raises:
        UserError: settings do not fit together; the message names their keys.
    """
    for rule in RULES:
        rule(settings)


def tokens_are_those_of_the_model(settings: TrainSettings) -> None:
    model, tokenizer = settings.model, settings.tokenizer
    if brings_tokenizer(model) and trains_tokenizer(tokenizer):
        raise UserError(
            f"model.name={model['name']} was trained with its own tokenizer, but another would be trained here. "
            f"Set tokenizer=pretrained tokenizer.name={model['name']}"
        )


def data_suits_the_task(settings: TrainSettings) -> None:
    """Tasks that learn from labels need labelled examples, all others packed blocks."""
    label_kind, labelled = task_spec(settings.task).label_kind, takes(settings.data, "data", "target")
    if labelled != (label_kind is not None):
        wanted, made = ("labelled examples" if yes else "packed blocks" for yes in (label_kind, labelled))
        raise UserError(
            f"task={find_target(settings.task, 'task').__name__} learns from {wanted}, but data._target_ makes "
            f"{made}. Leave the choice of data/batches to the task."
        )


def metrics_exist(settings: TrainSettings) -> None:
    """The best checkpoint, sweeps and early stopping are based on a metric of the task, in its better direction."""
    splits = {"objective": _SPLITS}
    for key, metric, mode_key, mode in watched(settings):
        if key == "objective" or not metric.startswith("train/"):
            _check_metric(settings, key, metric, mode_key, mode, splits.get(key, _SPLITS[:1]))


def further_masks_have_a_task(settings: TrainSettings) -> None:
    task = settings.task
    if settings.evaluation_masks and not (
        task_spec(task).predicts_tokens and takes(task, "task", "evaluation_masks")
    ):
        raise UserError(
            f"evaluation_masks={','.join(settings.evaluation_masks)}, but "
            f"task={find_target(task, 'task').__name__} predicts no masked tokens. Leave them out, or take "
            "task=mlm."
        )
    check_further(settings.evaluation_masks, EVALUATION_MASKS)


def masks_hide_what_the_task_learns(settings: TrainSettings) -> None:
    if not task_spec(settings.task).needs_masks:
        return
    for key, mask in settings.masks.items():
        if not masks_any(mask, key):
            raise UserError(
                f"{key} hides no token, which leaves task={find_target(settings.task, 'task').__name__} nothing to "
                "learn. Choose another mask, such as token."
            )


def a_smaller_encoder_can_be_made(settings: TrainSettings) -> None:
    if not takes(settings.task, "task", "smaller_encoder"):
        return
    kind = find_target(settings.model, "model")
    try:
        kind.narrowed(1.0, **settings.model.arguments)
    except (AttributeError, NotImplementedError, ValueError) as error:
        why = "" if isinstance(error, AttributeError) else f": {error}"
        raise UserError(
            f"task={find_target(settings.task, 'task').__name__} needs a smaller encoder of the same kind, which "
            f"{kind.__name__} cannot make{why}. Take model=transformer, lstm, cnn, mlp or pretrained."
        ) from None


def _of_masks(settings: TrainSettings, splits: Sequence[str]) -> dict[str, str]:
    """Returns the metrics under each of `evaluation_masks`, with their better directions."""
    return {
        f"{split}/{name}/{own.name}": own.better
        for split in splits
        for name in settings.evaluation_masks
        for own in MASKED_METRICS
    }


def _of_sources(settings: TrainSettings, splits: Sequence[str]) -> dict[str, str]:
    """Returns the metrics of each of several sources of packed text, with their better directions."""
    spec, names = task_spec(settings.task), [*sources_of(settings.data.arguments)]
    if len(names) == 1 or spec.label_kind is not None:
        return {}
    return {
        f"{split}/{name}/{own.name}": own.better
        for split in splits
        for name in names
        if name
        for own in spec.metrics
    }


def sources_have_names_of_their_own(settings: TrainSettings) -> None:
    """The metrics of sources and those under further masks are told apart by name."""
    if both := {*sources_of(settings.data.arguments)} & {*settings.evaluation_masks}:
        raise UserError(
            f"evaluation_masks names {min(both)}, and so does the data, so that their metrics would have the same "
            f"name. Choose another name for data.sources.{min(both)}."
        )


def _check_metric(
    settings: TrainSettings, key: str, metric: str, mode_key: str, mode: str, splits: Sequence[str]
) -> None:
    spec = task_spec(settings.task)
    known = [f"{split}/{own.name}" for split in splits for own in spec.metrics]
    of_masks = _of_masks(settings, splits) | _of_sources(settings, splits)
    name, known = metric.partition("/")[2], [*known, *of_masks]
    if "/".join(metric.split("/")[:2]) not in known and metric not in of_masks:  # the name of a class may follow
        raise UserError(
            f"{key}='{metric}' is no metric.{nearest(metric, known)} The metrics are: {', '.join(known)}."
        )
    better = of_masks.get(metric) or next(own.better for own in spec.metrics if own.name == name.split("/")[0])
    if mode != better:
        raise UserError(
            f"{mode_key}={mode}, but a {'lower' if better == 'min' else 'higher'} {metric} is better. Set "
            f"{mode_key}={better}."
        )


def metrics_of_labels_exist(settings: TrainSettings, labels: Sequence[str]) -> None:
    """A metric of a single class, or of a kind of entity, is one that the data has.

    Args:
        labels: the names of the classes, or of the kinds of entities.
    """
    scores = [metric.name for metric in task_spec(settings.task).metrics if metric.of_labels]
    of_masks = _of_masks(settings, _SPLITS) | _of_sources(settings, _SPLITS)
    for key, metric, _, _ in watched(settings):
        _, score, *label = metric.split("/", 2)
        if metric not in of_masks and label and (label[0] not in labels or score not in scores):
            raise UserError(
                f"{key}='{metric}' is no metric.{nearest(label[0], labels)} precision, recall and f1 are reported "
                f"for: {', '.join(labels) or 'no classes'}."
            )


def watched(settings: TrainSettings) -> Iterator[tuple[str, str, str, str]]:
    """Yields each key that names a metric, the metric, the key of its better direction, and that direction.

    Callbacks that are not Lightning's are not checked.
    """
    yield "objective", settings.objective, "objective_mode", settings.objective_mode
    for path, node in _callbacks(settings, (ModelCheckpoint, EarlyStopping)):
        if node.get("monitor"):
            mode = node.get("mode", "min")
            yield f"{path}.monitor", str(node["monitor"]), f"{path}.mode", mode


def _callbacks(settings: TrainSettings, kinds: tuple[type, ...]) -> Iterator[tuple[str, Component]]:
    """Yields each callback of these classes, after its key."""
    for name, node in settings.callbacks.items():
        path = f"callbacks.{name}"
        if node is not None and isinstance(kind := find_target(node, path), type) and issubclass(kind, kinds):
            yield path, node


def patience_is_a_number_of_validations(settings: TrainSettings) -> None:
    for path, node in _callbacks(settings, (EarlyStopping,)):
        if not (patience := node.get("patience", 1)) >= 1:
            raise UserError(
                f"{path}.patience={patience}: a run ends after 1 or more validations without an improvement."
            )


def a_batch_can_be_shared(settings: TrainSettings) -> None:
    """Each device and each micro-batch gets the same number of the blocks of a step."""
    hardware, data = settings.hardware, settings.data
    devices = hardware.devices * hardware.nodes
    number = hardware.accumulate_grad_batches * devices
    if data.get("batch_size", number) % number:
        raise UserError(
            f"data.batch_size={data['batch_size']} blocks cannot be shared evenly by {devices} devices "
            f"(hardware.devices={hardware.devices}, hardware.nodes={hardware.nodes}) in "
            f"hardware.accumulate_grad_batches={hardware.accumulate_grad_batches} micro-batches each: it is no "
            f"multiple of {number}."
        )


def counts_are_learned_by_em(settings: TrainSettings) -> None:
    """A model of counts learns by expectation maximization, and nothing else does."""
    encoder, optimizer = find_target(settings.model, "model"), settings.optimizer.target
    is_em = find_target(settings.optimizer, "optimizer") is em
    if not getattr(encoder, "learns_from_counts", False):
        if is_em:
            raise UserError(
                f"optimizer=em learns models of counts alone, and {encoder.__name__} learns from gradients. Set "
                "optimizer=muon or optimizer=adamw, or model=hmm or model=ngram."
            )
        return
    spec, trainer, precision = task_spec(settings.task), settings.trainer, settings.hardware.precision
    refused = {
        f"{optimizer}; leave the choice of the optimizer to the model": not is_em,
        f"task={find_target(settings.task, 'task').__name__}; set task=mlm": not spec.learns_counts,
        f"trainer.gradient_clip_val={trainer.gradient_clip_val}; set it to null": trainer.gradient_clip_val,
        f"hardware.precision={precision}; set 32-true": precision == "bf16-true",
    }
    for what, found in refused.items():
        if found:
            raise UserError(f"{encoder.__name__} learns probabilities from counts, which excludes {what}.")


def encoder_can_be_causal(settings: TrainSettings) -> None:
    """A task that predicts the next token needs an encoder that can read from left to right alone."""
    if not task_spec(settings.task).reads_causally:
        return
    encoder = find_target(settings.model, "model")
    if not getattr(encoder, "can_be_causal", False):
        raise UserError(
            f"task={find_target(settings.task, 'task').__name__} predicts the next token, for which no hidden "
            f"state may depend on later ones, and {encoder.__name__} reads in both directions. Set "
            "model=transformer, or leave causal prediction out: task.causal_share=0, and no causal phase."
        )


def ratios_are_weighed(settings: TrainSettings) -> None:
    """A bound on the likelihood needs to know how likely each ratio was drawn."""
    if not task_spec(settings.task).weighs_ratios:
        return
    ratio = settings.mask.parts["ratio"]
    kind = find_target(ratio, "mask.ratio")
    if not hasattr(kind, "weight"):
        value = f"={ratio['value']:g}" if "value" in ratio else ""
        raise UserError(
            f"task={find_target(settings.task, 'task').__name__} weighs examples by how likely their ratios were "
            f"drawn, which {kind.__name__}{value} does not say. Leave mask.ratio to the task, or set "
            "mask/ratio=diffusion."
        )


def weights_can_be_sharded(settings: TrainSettings) -> None:
    """What has been tested with FSDP2 is allowed."""
    hardware, trainer, optimizer = settings.hardware, settings.trainer, settings.optimizer
    if hardware.strategy != "fsdp" or hardware.devices * hardware.nodes == 1:
        return
    encoder = find_target(settings.model, "model")
    finetuning = settings.task.get("finetuning") or {}
    task = find_target(settings.task, "task")
    clips = trainer.gradient_clip_val and trainer.gradient_clip_algorithm == "value"
    refused = {
        f"the model {encoder.__name__}, only with model=transformer": not getattr(encoder, "can_be_sharded", False),
        f"task={task.__name__}; set task=mlm": not task.can_be_sharded,
        f"{optimizer.target}, only with optimizer=muon or optimizer=adamw": (
            find_target(optimizer, "optimizer") not in (muon, adamw)
        ),
        f"hardware.precision={hardware.precision}; set bf16-mixed, bf16-true or 32-true": (
            hardware.precision in ("16-mixed", "64-true")
        ),
        "hardware.compile=true; set it to false": hardware.compile,
        "model.late_masks; set it to 0": settings.model.get("late_masks"),
        "model.lora.rank; set it to null": lora_of(settings.model),
        "tokenizer.extend; set it to 0": settings.tokenizer.get("extend"),
        "trainer.gradient_clip_algorithm=value; set norm": clips,
        "task.finetuning.gradual_unfreezing; set it to 0": finetuning.get("gradual_unfreezing"),
    }
    for what, found in refused.items():
        if found:
            raise UserError(
                f"hardware.strategy=fsdp does not work with {what}. Or use hardware.strategy=ddp, where every "
                "device has all weights."
            )


def ids_fit_their_type(settings: TrainSettings) -> None:
    vocabulary_size = settings.tokenizer.get("vocabulary_size", 0)
    if settings.data["id_type"] == "uint16" and vocabulary_size > 2**16:
        raise UserError(
            f"tokenizer.vocabulary_size={vocabulary_size} does not fit data.id_type=uint16, which numbers "
            "65,536 tokens. Set data.id_type=auto or uint32."
        )


def arguments_of_the_trainer_are_followed(settings: TrainSettings) -> None:
    given, (own, _) = settings.trainer.arguments(), parameters(Trainer)
    for key, reason in _NOT_FOLLOWED.items():
        if (value := given.get(key)) is not None and value != own[key].default:
            raise UserError(f"trainer.{key}={value!r} is not followed: {reason}.")
    if given.get("limit_test_batches") == 0:
        raise UserError(
            "trainer.limit_test_batches=0 leaves nothing to test at the end of the run; take 1 or more."
        )


def lightning_takes_the_arguments(settings: TrainSettings) -> None:
    """Lightning checks values when a trainer is made; that of the run is made after the corpus is prepared."""
    given = settings.trainer.arguments()
    given.pop("strategy", None)  # which needs the devices of the run
    parts = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    given |= dict.fromkeys(parts, False)
    # with an environment of its own, or the variables of Slurm are checked as well
    own = {"accelerator": "cpu", "max_epochs": -1, "plugins": LightningEnvironment()}
    build({"_target_": "lightning.Trainer", **given}, "trainer", **own)


RULES = (
    tokens_are_those_of_the_model,
    data_suits_the_task,
    further_masks_have_a_task,
    masks_hide_what_the_task_learns,
    a_smaller_encoder_can_be_made,
    sources_have_names_of_their_own,
    metrics_exist,
    patience_is_a_number_of_validations,
    a_batch_can_be_shared,
    counts_are_learned_by_em,
    encoder_can_be_causal,
    ratios_are_weighed,
    weights_can_be_sharded,
    ids_fit_their_type,
    arguments_of_the_trainer_are_followed,
    lightning_takes_the_arguments,
    *machine.RULES,
)
