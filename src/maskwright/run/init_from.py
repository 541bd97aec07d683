"""`init_from`: a run that starts from the weights of another, or from a model of the hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule

from maskwright.core.errors import UserError, nearest
from maskwright.core.paths import HUB_NAME, PACKAGE, on_disk
from maskwright.models.pretrained.load import PretrainedHead, saved_architecture
from maskwright.run.checkpoints import changed, read_checkpoint
from maskwright.tasks.task import MASKERS
from maskwright.text.tokenizer import Pretrained

_OF_LABELS = ("output.", "crf.")  # how the names of weights begin that belong to labels
_NAMED = 12  # weights that a message lists
PRETRAINED = "maskwright.models.pretrained.load.Pretrained"
_TOKENIZER = "maskwright.text.tokenizer.Pretrained"
_CHOSEN_ANEW = ("dropout",)  # settings of a model that say nothing about its weights


@dataclass(frozen=True)
class Start:
    """The weights that a run starts from.

    Attributes:
        name: as `init_from` has it.
        path: of the checkpoint; None where the model's own library loads them.
        state: weights by name.
        vocabulary: the digest of the tokenizer that they belong to.
        labels: what their head tells apart; None where it tells nothing.
        values: mean and standard deviation of what their head tells in units of; None where it tells no number.
    """

    name: str
    path: Path | None
    state: dict[str, torch.Tensor]
    vocabulary: str | None
    labels: list[str] | None = None
    values: list[float] | None = None

    def load(self, task: LightningModule, vocabulary: str) -> list[str]:
        """Copies the weights of encoder and head into a task.

        Returns:
            What was loaded, what is new, and what was left, one line each.
        Raises:
            UserError: the weights belong to another vocabulary, or are of other shapes.
        """
        own = task.state_dict()
        if self.path is None:
            brought = ["encoder."] + ["head."] * isinstance(getattr(task, "head", None), PretrainedHead)
            new = [name for name in own if not name.startswith((*brought, *MASKERS))]
            left: Any = task.encoder.left_out  # type: ignore[union-attr]
            return [f"those of {self.name}", *_told(new, left)]
        if self.vocabulary != vocabulary:
            raise UserError(
                f"init_from: {self.path} was trained with another vocabulary. Leave the choice of the tokenizer to "
                "init_from, or say its own: tokenizer=pretrained tokenizer.name=<run directory>/tokenizer"
            )
        offered = {n: weight for n, weight in self.state.items() if not n.startswith(MASKERS)}
        other_labels = self.labels is not None and self.labels != task.hparams["labels"]
        other_labels |= self.values is not None and self.values != task.hparams["values"]
        new_head = other_labels or any(
            weight.shape != own[name].shape
            for name, weight in offered.items()
            if name.startswith(_OF_LABELS) and name in own
        )
        taken = {}
        for name in offered.keys() & own.keys():
            if new_head and name.startswith(_OF_LABELS):
                continue
            if offered[name].shape == own[name].shape:
                taken[name] = offered[name]
            elif name.startswith("encoder."):
                found, here = tuple(offered[name].shape), tuple(own[name].shape)
                raise UserError(f"init_from: {name} is {found} in {self.path} and {here} here.")
        if missing := [name for name in own if name.startswith("encoder.") and name not in taken]:
            raise UserError(
                f"init_from: {self.path} has no weights for {', '.join(missing[:5])}; it is another model."
            )
        task.load_state_dict(taken, strict=False)
        new = [name for name in own if name not in taken and not name.startswith(MASKERS)]
        left = [name for name in offered if name not in taken]
        lines = [f"{len(taken)} of {self.path}", *_told(new, left)]
        if self.labels and other_labels and task.hparams["labels"]:
            lines.append(f"the head is new, since the old one tells {', '.join(self.labels)}, in this order")
        return lines


def _told(new: list[str], left: list[str]) -> list[str]:
    lines = []
    for what, names in (("new", new), ("left out", left)):
        others = f" and {len(names) - _NAMED:,} others" * (len(names) > _NAMED)
        lines += [f"{what}: {', '.join(names[:_NAMED])}{others}"] * bool(names)
    return lines


def start(config: dict[str, Any], overrides: list[str]) -> Start | None:
    """The weights that `init_from` means; model and tokenizer of the config become theirs.

    Args:
        overrides: those of the command line, which must not ask for another model.
    Raises:
        UserError: nothing is there, or it is of another model than the command line asks for.
    """
    name, model = config["init_from"], config["model"]
    if name is None:
        if model.get("_target_") != PRETRAINED or model.get("reinitialize"):
            return None
        _compare(model["name"], config["tokenizer"])
        return Start(model["name"], None, {}, None)
    if not isinstance(name, str):
        raise UserError(
            f"init_from={name} is no text. It is the directory of a run, a checkpoint, or a name or folder of the "
            "hub."
        )
    path = Path(on_disk(name, "init_from")).expanduser()
    file = path
    if path.is_dir():
        folder = path / "checkpoints"
        file = folder / ("best.ckpt" if (folder / "best.ckpt").is_file() else "last.ckpt")
    elif path.suffix == ".ckpt" and not path.is_file():
        raise UserError(f"init_from='{name}': there is no checkpoint {path}.")
    elif not path.exists() and not HUB_NAME.fullmatch(name):
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(
            f"init_from='{name}' does not exist.{nearest(path.name, beside)} It is the directory of a run, a "
            "checkpoint, or a name or folder of the hub."
        )
    if not file.is_file():
        if path.is_dir() and not (path / "config.json").is_file():
            raise UserError(
                f"init_from='{name}' is a folder with neither checkpoints of a run nor a config.json of the hub."
            )
        place = str(path.resolve()) if path.is_dir() and not name.startswith(PACKAGE) else name
        own = {
            "_target_": PRETRAINED,
            "name": place,
            "reinitialize": False,
        }
        asked = model.get("_target_") == PRETRAINED or "model.dropout" in map(_key, overrides)
        dropout = model.get("dropout") if asked else None
        _refuse(overrides, model, own, name)
        config["model"] = {**own, "dropout": dropout}
        config["tokenizer"] = _tokenizer(overrides, config["tokenizer"], place, name)
        return Start(name, None, {}, None)
    saved = read_checkpoint(file, "init_from")
    known, run = saved["hyper_parameters"], file.parent.parent
    if not (run / "tokenizer").is_dir():
        raise UserError(
            f"init_from='{name}': beside {file} there is no tokenizer. Leave checkpoints in their run's directory."
        )
    own = saved_architecture(known["config"]["model"], run)
    own |= {key: model[key] for key in _CHOSEN_ANEW if key in own and key in model}
    _refuse(overrides, model, own, name)
    config["model"] = own
    config["tokenizer"] = _tokenizer(overrides, config["tokenizer"], str(run / "tokenizer"), name)
    return Start(name, file, saved["state_dict"], known["vocabulary"], known.get("labels"), known.get("values"))


def _compare(model: Any, asked: dict[str, Any]) -> None:
    """Refuses a tokenizer most of whose tokens have other ids in the model's own one.

    Where the model has none, or none that opens, there is nothing to compare with.
    """
    tokenizer = asked.get("name") if asked.get("_target_") == _TOKENIZER else None
    if not isinstance(model, str) or not isinstance(tokenizer, str) or tokenizer == model:
        return
    chosen = Pretrained(tokenizer).make(lambda: iter(()))
    try:
        own = Pretrained(model).make(lambda: iter(()))
    except Exception:
        return
    ids, known = (one.backend.get_vocab(with_added_tokens=True) for one in (chosen, own))
    if sum(known.get(token) == number for token, number in ids.items()) < len(ids) / 2:
        raise UserError(
            f"model.name={model} knows the tokens of its own tokenizer, and tokenizer.name={tokenizer} is another. "
            f"Set tokenizer.name={model}"
        )


def _tokenizer(overrides: list[str], asked: dict[str, Any], own: str, name: str) -> dict[str, Any]:
    """The tokenizer that weights belong to, unless the command line asks for another, which is refused."""
    place = asked.get("name")
    same = isinstance(place, str) and Path(on_disk(place, "tokenizer.name")).resolve() == Path(own).resolve()
    chosen = any(key == "tokenizer" or key.startswith("tokenizer.") for key in map(_key, overrides))
    if chosen and not same and place != own:
        raise UserError(
            f"init_from={name} brings its own tokenizer, and another was asked for. Leave out the choice of the "
            "tokenizer, or train without init_from."
        )
    return {"_target_": _TOKENIZER, "name": own}


def _refuse(overrides: list[str], asked: dict[str, Any], own: dict[str, Any], name: str) -> None:
    """Refuses another model, where the command line asks for one."""
    keys = {_key(override) for override in overrides}
    chosen = any(key == "model" or key.startswith("model/") for key in keys)  # and not single settings alone
    differ = [
        line
        for line in changed(own, asked, "model")
        if (chosen or line.split()[0] in keys) and not line.startswith("model.dropout ")
    ]
    if differ:
        raise UserError(f"init_from={name} brings its own model, and another was asked for: {'; '.join(differ)}.")


def _key(override: str) -> str:
    return override.lstrip("+").partition("=")[0]
