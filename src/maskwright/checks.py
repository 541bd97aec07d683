"""What a config must not ask for, found before any work is done."""

from typing import Any

import torch

from maskwright.build import verify
from maskwright.errors import UserError
from maskwright.machine import GIVEN


def check(config: dict[str, Any]) -> None:
    """Refuses combinations that cannot work, before any work is done.

    Raises:
        UserError: names the keys that do not go together.
    """
    data, hardware, model, trainer = (config[name] for name in ("data", "hardware", "model", "trainer"))
    verify(model, "model", ["vocabulary_size"])
    verify(config["optimizer"], "optimizer")
    for group in ("callbacks", "logger"):
        for name, node in config[group].items():
            if node is not None:
                verify(node, f"{group}.{name}")
    for path in [
        "data.block_size",
        "data.batch_size",
        "data.evaluation_batch_size",
        "hardware.accumulate",
        "trainer.val_check_interval",
        "trainer.log_every_n_steps",
        "model.layers",
        "model.hidden_size",
        "model.heads",
    ]:
        group, key = path.split(".")
        value = config[group].get(key, 1)
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{path}={value!r} is not a whole number of at least 1.")
    if data["block_size"] < 3:
        raise UserError(
            f"data.block_size={data['block_size']} leaves no place between [CLS] and [SEP]; take 3 or more."
        )
    devices = hardware["devices"]
    pieces = hardware["accumulate"] * (devices if isinstance(devices, int) and devices > 0 else 1)
    if data["batch_size"] % pieces:
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
    if trainer["max_steps"] is None or (trainer["max_steps"] < 1 and trainer["max_time"] is None):
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
        ("max_epochs", "trainer.max_steps"),
        ("devices", "hardware.devices"),
        ("accelerator", "hardware.accelerator"),
        ("precision", "hardware.precision"),
    ):
        if key in trainer:
            raise UserError(f"trainer.{key} is set by {instead}; use that.")
    verify({"_target_": "lightning.Trainer", **trainer}, "trainer", GIVEN)
