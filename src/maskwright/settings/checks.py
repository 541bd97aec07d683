"""What a config must not ask for, found before any work is done."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, StrictBool

from maskwright.core.errors import UserError, nearest
from maskwright.corpora.labels import kinds_of
from maskwright.run.trainer import GIVEN
from maskwright.settings.build import check_type, find_target, takes, verify

TOP = (  # what conf/train.yaml is made of
    "task data tokenizer mask evaluation_mask model optimizer schedule hardware logger callbacks "
    "seed trainer ckpt_path init_from run_dir objective objective_mode"
).split()
SEED = Annotated[int, Field(ge=0, lt=2**32)]
MASK = ("units", "weights", "ratio", "corruption", "dynamic")
BETTER = {  # metrics of which less, or more, is better; what others of your own tasks want is yours to say
    "min": "loss perplexity rmse mae mlm_loss mlm_perplexity".split(),
    "max": "accuracy precision recall f1 f1_micro r2 pearson spearman mlm_accuracy".split(),
}
OFFERED = (  # to a task, by the experiment
    "encoder head masker evaluation_masker names class_counts values optimizer schedule seed "
    "cross_document_attention hyperparameters"
).split()


def check_keys(config: dict[str, Any], known: list[str]) -> None:
    """Refuses a config with a key at its top that is not `known`."""
    for key in config:
        if key not in known:
            raise UserError(
                f"There is no key '{key}'.{nearest(key, known)} The keys at the top are: {', '.join(known)}."
            )


def check_names(config: dict[str, Any], names: list[str], tags: bool) -> None:
    """Refuses what goes by the metric of a class, or of a kind of entity, that the data does not have.

    Args:
        names: of the classes, or of the tags.
        tags: whether they are tags.
    """
    kinds = kinds_of(names) if tags else names
    watched = {f"{path}monitor": node["monitor"] for path, node in _watching(config)}
    for key, metric in ({"objective": config["objective"]} | watched).items():
        _, score, *name = metric.split("/", 2)
        if name and (name[0] not in kinds or score not in ("precision", "recall", "f1")):
            raise UserError(
                f"{key}='{metric}' is no metric.{nearest(name[0], kinds)} precision, recall and f1 are told of "
                f"{', '.join(kinds) or 'no classes'}."
            )


def _watching(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where the callbacks stand that go by a metric, and their settings; those of your own are yours to check."""
    for name, node in config["callbacks"].items():
        kind = None if node is None else find_target(node, f"callbacks.{name}")
        if isinstance(kind, type) and issubclass(kind, (ModelCheckpoint, EarlyStopping)) and node.get("monitor"):
            yield f"callbacks.{name}.", node


def check_blocks(data: Any) -> None:
    """Refuses blocks that hold nothing."""
    check_type(data["block_size"], int, "data.block_size")
    if data["block_size"] < 3:
        raise UserError(
            f"data.block_size={data['block_size']} leaves no place between [CLS] and [SEP]; take 3 or more."
        )


def check_mask(node: Any, path: str) -> None:
    """Refuses a mask that is not made of its parts; the parts are checked when they are built."""
    if not isinstance(node, dict):
        raise UserError(f"{path}={node!r} holds no settings; choose one of the options of conf/mask/.")
    for key in node:
        if key not in MASK:
            raise UserError(f"There is no key '{path}.{key}'.{nearest(key, MASK)} A mask has {', '.join(MASK)}.")
    for key in MASK:
        if key not in node:
            raise UserError(f"{path}.{key} is missing; a mask has {', '.join(MASK)}.")
    check_type(node["dynamic"], StrictBool, f"{path}.dynamic")


def _check_metric(node: dict[str, Any], key: str, mode: str, metrics: list[str], path: str = "") -> None:
    """Refuses what is no metric, and the direction in which it gets worse.

    Args:
        key, mode: of the metric and of its better direction in `node`, which stands at `path`.
    """
    metric, towards = node[key], node.get(mode, "min")
    if "/".join(str(metric).split("/")[:2]) not in metrics:  # behind them the name of a class may stand
        raise UserError(
            f"{path}{key}='{metric}' is no metric.{nearest(str(metric), metrics)} {', '.join(metrics)} are."
        )
    check_type(towards, Literal["min", "max"], f"{path}{mode}")
    name = metric.split("/")[1]
    better = next((direction for direction, of in BETTER.items() if name in of), towards)
    if towards != better:
        raise UserError(
            f"{path}{mode}={towards}, but of {metric} {'less' if better == 'min' else 'more'} is better. Set "
            f"{path}{mode}={better}."
        )


def check(config: dict[str, Any]) -> None:
    """Refuses combinations that cannot work, before any work is done.

    Raises:
        UserError: names the keys that do not go together.
    """
    check_keys(config, TOP)
    for group in ("trainer", "data", "model", "optimizer", "schedule", "hardware", "callbacks", "logger"):
        if not isinstance(config[group], dict):
            raise UserError(f"{group}={config[group]!r} holds no settings; see conf/{group}/ or conf/train.yaml.")
    for name in ("mask", "evaluation_mask"):
        check_mask(config[name], name)
    data, hardware, model, trainer = (config[name] for name in ("data", "hardware", "model", "trainer"))
    check_type(config["seed"], SEED, "seed")
    verify({"_target_": "maskwright.run.trainer.Hardware", **hardware}, "hardware")
    verify(model, "model", ["vocabulary_size"])
    verify(config["optimizer"], "optimizer")
    for group in ("callbacks", "logger"):
        for name, node in config[group].items():
            if node is not None:
                verify(node, f"{group}.{name}")
    if (
        model["_target_"].endswith(".Pretrained")
        and not model.get("reinitialize")
        and config["tokenizer"].get("_target_", "").endswith(".Trained")
    ):
        raise UserError(
            f"model.name={model['name']} knows the tokens of its own tokenizer, and another would be trained. Set "
            f"tokenizer=pretrained tokenizer.name={model['name']}"
        )
    task = verify(config["task"], "task", OFFERED)
    labelled = takes(data, "data", "target")
    if labelled != (task.target is not None):
        raise UserError(
            f"task={task.__name__} learns from {'labelled examples' if task.target else 'packed blocks'}, and "
            f"data._target_ makes {'labelled examples' if labelled else 'packed blocks'}. Leave the choice of "
            "data/batches to the task."
        )
    metrics = [f"{split}/{name}" for split in ("validation", "test") for name in task.metrics]
    _check_metric(config, "objective", "objective_mode", metrics)
    validated = [metric for metric in metrics if metric.startswith("validation/")]
    for path, node in _watching(config):
        if not str(node["monitor"]).startswith("train/"):
            _check_metric(node, "monitor", "mode", validated, path)
    for path in [
        "data.block_size",
        "data.batch_size",
        "data.evaluation_batch_size",
        "data.tokens_per_batch",
        "data.evaluation_tokens_per_batch",
        "trainer.val_check_interval",
        "trainer.log_every_n_steps",
        "model.layers",
        "model.hidden_size",
        "model.heads",
        "model.intermediate_size",
    ]:
        group, key = path.split(".")
        value = config[group].get(key, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UserError(f"{path}={value!r} is not a whole number of at least 1.")
    for part in [data] if data.get("parts") is None else data["parts"].values():
        splits = part.get("splits") or {}
        for name in ("validation", "test"):
            if isinstance(splits.get(name), str) and {*splits[name].split("+")} & {
                *str(splits.get("train")).split("+")
            }:
                raise UserError(
                    f"data.splits.{name}={splits[name]}, and data.splits.train={splits['train']} learns from that. "
                    f"Name another split of the source, or set a share: data.splits.{name}=0.05"
                )
    check_type(data.get("evaluation_limit"), PositiveInt | None, "data.evaluation_limit")
    for key, kind in (
        ("lr", PositiveFloat),
        ("adamw_lr", PositiveFloat),
        ("iterations", Annotated[int, Field(ge=1, le=5)]),
    ):
        if key in config["optimizer"]:
            check_type(config["optimizer"][key], kind, f"optimizer.{key}")
    reach = model.get("convolution", 0)
    check_type(reach, NonNegativeInt, "model.convolution")
    check_type(trainer["max_steps"], int, "trainer.max_steps")
    check_type(trainer["max_epochs"], PositiveFloat | None, "trainer.max_epochs")
    check_type(trainer["max_time"], Annotated[str, Field(pattern=r"^\d+(:\d\d){3}$")] | None, "trainer.max_time")
    check_blocks(data)
    devices = hardware["devices"]
    pieces = hardware["accumulate"] * devices
    if data.get("batch_size", pieces) % pieces:
        raise UserError(
            f"data.batch_size={data['batch_size']} blocks cannot be shared evenly by hardware.devices={devices} "
            f"in hardware.accumulate={hardware['accumulate']} pieces each: it is no multiple of {pieces}."
        )
    heads, hidden_size = model.get("heads", 1), model.get("hidden_size", 2)
    if hidden_size % heads or hidden_size // heads % 2:
        raise UserError(
            f"model.heads={heads} do not divide model.hidden_size={hidden_size} into heads of an even size, "
            "which rotary positions need."
        )
    vocabulary_size = config["tokenizer"].get("vocabulary_size", 0)
    if data["id_type"] == "uint16" and vocabulary_size > 2**16:
        raise UserError(
            f"tokenizer.vocabulary_size={vocabulary_size} does not fit data.id_type=uint16, which numbers "
            "65,536 tokens. Set data.id_type=auto or uint32."
        )
    if trainer["max_steps"] < 1 and trainer["max_time"] is None and trainer["max_epochs"] is None:
        raise UserError(
            f"trainer.max_steps={trainer['max_steps']} and trainer.max_time=null leave the run without an end. "
            "Set trainer.max_steps=1000, or trainer.max_steps=-1 trainer.max_time=00:01:00:00."
        )
    if hardware["accelerator"] == "gpu" and not torch.cuda.is_available():
        raise UserError("hardware.accelerator=gpu, but no GPU is visible here. Use hardware=auto or hardware=cpu.")
    if devices != 1:
        raise UserError(f"hardware.devices={devices}: training on several devices is not there yet; set it to 1.")
    for key, instead in (
        ("accumulate_grad_batches", "hardware.accumulate"),
        ("devices", "hardware.devices"),
        ("accelerator", "hardware.accelerator"),
        ("precision", "hardware.precision"),
    ):
        if key in trainer:
            raise UserError(f"trainer.{key} is set by {instead}; use that.")
    own = {key: value for key, value in trainer.items() if key != "max_epochs"}  # becomes max_steps
    verify({"_target_": "lightning.Trainer", **own}, "trainer", GIVEN)
