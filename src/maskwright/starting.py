"""`init_from`: a run that starts from the weights of another, or from a model of the hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule

from maskwright.errors import UserError
from maskwright.places import on_disk
from maskwright.resuming import changed

_CHOSEN_ANEW = ("dropout",)  # settings of a model that say nothing about its weights


@dataclass(frozen=True)
class Start:
    """The weights that a run starts from.

    Attributes:
        path: of the checkpoint; None where the model's own library loads them.
        state: weights by name.
        vocabulary: the digest of the tokenizer that they belong to.
    """

    path: Path | None
    state: dict[str, torch.Tensor]
    vocabulary: str | None

    def load(self, task: LightningModule, vocabulary: str) -> list[str]:
        """Copies the weights of encoder and head into a task.

        Returns:
            What was loaded, what is new, and what was left, one line each.
        Raises:
            UserError: the weights belong to another vocabulary, or are of other shapes.
        """
        if self.path is None:
            return []
        if self.vocabulary != vocabulary:
            raise UserError(
                f"init_from: {self.path} was trained with another vocabulary. Leave the choice of the tokenizer to "
                "init_from, or say its own: tokenizer=pretrained tokenizer.name=<run directory>/tokenizer"
            )
        own = task.state_dict()
        offered = {n: w for n, w in self.state.items() if not n.startswith(("masker.", "evaluation_masker."))}
        taken = {name: weight for name, weight in offered.items() if name in own}
        for name, weight in taken.items():
            if weight.shape == own[name].shape:
                continue
            if name.startswith("encoder."):
                raise UserError(
                    f"init_from: {name} is {tuple(weight.shape)} in {self.path} and {tuple(own[name].shape)} here."
                )
        taken = {name: weight for name, weight in taken.items() if weight.shape == own[name].shape}
        if missing := [name for name in own if name.startswith("encoder.") and name not in taken]:
            raise UserError(
                f"init_from: {self.path} has no weights for {', '.join(missing[:5])}; it is another model."
            )
        task.load_state_dict(taken, strict=False)
        new = [name for name in own if name not in taken and not name.startswith(("masker.", "evaluation_masker."))]
        left = [name for name in offered if name not in taken]
        lines = [f"{len(taken)} weights of {self.path}"]
        lines += [f"new: {', '.join(new)}"] * bool(new) + [f"left out: {', '.join(left)}"] * bool(left)
        return lines


def start(config: dict[str, Any], overrides: list[str]) -> Start | None:
    """The weights that `init_from` means; model and tokenizer of the config become theirs.

    Args:
        overrides: those of the command line, which must not ask for another model.
    Raises:
        UserError: nothing is there, or it is of another model than the command line asks for.
    """
    name = config["init_from"]
    if name is None:
        return None
    path = Path(on_disk(name, "init_from")).expanduser()
    file = path
    if path.is_dir():
        folder = path / "checkpoints"
        file = folder / ("best.ckpt" if (folder / "best.ckpt").is_file() else "last.ckpt")
    elif path.suffix == ".ckpt" and not path.is_file():
        raise UserError(f"init_from='{name}': there is no checkpoint {path}.")
    if not file.is_file():
        if path.is_dir() and not (path / "config.json").is_file():
            raise UserError(
                f"init_from='{name}' is a folder with neither checkpoints of a run nor a config.json of the hub."
            )
        own = {"_target_": "maskwright.models.pretrained.Pretrained", "name": str(name)}
        dropout = config["model"].get("dropout") if any(o.startswith("model.dropout=") for o in overrides) else None
        _refuse(overrides, config["model"], own, name)
        config["model"] = {**own, "dropout": dropout, "reinitialize": False}
        config["tokenizer"] = {"_target_": "maskwright.text.tokenizer.Pretrained", "name": str(name)}
        return Start(None, {}, None)
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        model, vocabulary = saved["hyper_parameters"]["config"]["model"], saved["hyper_parameters"]["vocabulary"]
        state = saved["state_dict"]
    except Exception as error:
        raise UserError(f"init_from: {file} is no checkpoint of this project, or a damaged one: {error}") from error
    anew = {key: config["model"][key] for key in _CHOSEN_ANEW if key in model and key in config["model"]}
    _refuse(overrides, config["model"], model | anew, name)
    config["model"] = model | anew
    config["tokenizer"] = {
        "_target_": "maskwright.text.tokenizer.Pretrained",
        "name": str(file.parent.parent / "tokenizer"),
    }
    return Start(file, state, vocabulary)


def _refuse(overrides: list[str], asked: dict[str, Any], own: dict[str, Any], name: str) -> None:
    """Refuses another model, where the command line asks for one."""
    if any(override.lstrip("+").startswith(("model=", "model.", "model/")) for override in overrides):
        differ = [line for line in changed(own, asked, "model") if not line.startswith("model.dropout ")]
        if differ:
            raise UserError(
                f"init_from={name} brings its own model, and another was asked for: {'; '.join(differ)}."
            )
