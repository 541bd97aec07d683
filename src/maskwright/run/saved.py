"""Opens finished runs and models of the hub; no other code opens them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.core.errors import UserError, nearest
from maskwright.core.paths import CHECKPOINTS, HUB_NAME, PACKAGE, on_disk
from maskwright.core.renamed import with_new_names, with_new_shapes
from maskwright.corpora.listing import at
from maskwright.corpora.recipe import pair_columns
from maskwright.data.label_spec import LabelSpec
from maskwright.models import Encoder, masked_lm_head, read_by
from maskwright.models.lora import merged
from maskwright.models.pretrained import Pretrained, PretrainedClassifier, saved_architecture
from maskwright.models.pretrained.opening import CLASSIFIER, open_config
from maskwright.run.assemble import (
    TOKENIZER,
    build_masks,
    make_maskers,
    make_task,
    of_tokenizer,
    task_spec,
    vocabulary_of,
)
from maskwright.run.directory import CONFIG
from maskwright.run.imported import imported_model, imported_weights
from maskwright.settings.build import build, takes
from maskwright.settings.commands import TrainSettings
from maskwright.settings.component import Component
from maskwright.settings.declared import lora_of
from maskwright.settings.texts import with_paths
from maskwright.tasks import Task
from maskwright.tasks.task import MASKERS
from maskwright.text.tokenizer import Pretrained as PretrainedTokenizer
from maskwright.text.tokenizer import Tokenizer

PRETRAINED = "maskwright.models.pretrained.Pretrained"
_KEPT = ("best", "last", "previous")
_WHAT = "the directory of a run, a checkpoint, or a name or folder of the hub"
# settings that older checkpoints do not have, and the values that correspond to what those runs did
_YOUNGER: dict[str, dict[str, Any]] = {
    "model": {
        "convolution": 0,
        "query_key_norm": False,
        "value_residual": False,
        "late_masks": 0,
        "initial_embeddings": "random",
        "bigrams": 0.0,
        "trust_remote_code": False,
    },
    "optimizer": {"ns_dtype": "auto"},
    "task": {
        "case": False,
        "mlm_weight": None,
        "finetuning": {
            "_target_": "maskwright.tasks.FineTuning",
            "freeze": 0,
            "gradual_unfreezing": 0.0,
            "layer_decay": 1.0,
            "head_lr": None,
            "head_weight_decay": None,
        },
    },
}


@dataclass(frozen=True)
class SavedRun:
    """The contents of a run directory. They are read when they are first used, and no corpus is needed.

    Attributes:
        name: the name that was given.
        key: the config key that gave the name, for messages.
        checkpoint: the file with the weights; None for a model of the hub.
        place: the folder or name of a model of the hub, as in `model.name`; None for a run.
    """

    name: str
    key: str
    checkpoint: Path | None = None
    place: str | None = None

    @classmethod
    def open(cls, name: str | Path, key: str = "run", prefer: tuple[str, ...] = _KEPT) -> "SavedRun":
        """Opens a run directory, a checkpoint, or a name or folder of the hub, which may be `pkg://package/path`.

        Args:
            key: the config key that gives the name, for messages.
            prefer: the checkpoints of a run directory to look for; the first that exists is used.
        Raises:
            UserError: there is nothing of that name, or it is none of these.
        """
        name = str(name)
        path = Path(on_disk(name, key)).expanduser()
        if path.is_file():
            return cls(name, key, checkpoint=path)
        if path.is_dir():
            for checkpoint in (path / CHECKPOINTS / f"{kind}.ckpt" for kind in prefer):
                if checkpoint.is_file():
                    return cls(name, key, checkpoint=checkpoint)
            if not (path / "config.json").is_file():
                raise _without_checkpoint(path, f"{key}='{name}'")
            return cls(name, key, place=name if name.startswith(PACKAGE) else str(path.resolve()))
        if path.suffix == ".ckpt":
            raise UserError(f"{key}='{name}': there is no checkpoint {path}.")
        if not HUB_NAME.fullmatch(name):
            beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
            raise UserError(f"{key}='{name}' does not exist.{nearest(path.name, beside)} It is {_WHAT}.")
        return cls(name, key, place=name)

    # What a run directory holds

    @property
    def directory(self) -> Path:
        """The directory of the run."""
        assert self.checkpoint is not None
        return self.checkpoint.parent.parent

    @cached_property
    def saved(self) -> dict[str, Any]:
        """The checkpoint, memory-mapped.

        Raises:
            UserError: the file is no checkpoint of this project, or is damaged.
        """
        try:
            saved = torch.load(self.checkpoint, map_location="cpu", weights_only=True, mmap=True)  # type: ignore[arg-type]
            for name in ("config", "vocabulary"):
                saved["hyper_parameters"][name]
            for name in ("global_step", "state_dict"):
                saved[name]
            with_new_shapes(saved)
        except Exception as error:
            raise UserError(
                f"{self.key}: {self.checkpoint} is no checkpoint of this project, or a damaged one: {error}"
            ) from error
        return saved

    @property
    def step(self) -> int:
        """The number of optimizer steps after which the checkpoint was written."""
        return self.saved["global_step"]

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The weights by name, without the state of maskers; adapters are merged into those that they adapt."""
        if self.place is not None:
            return imported_weights(self.place)
        state = {n: weight for n, weight in self.saved["state_dict"].items() if not n.startswith(MASKERS)}
        lora = lora_of(Component.from_node(self.config["model"]))
        return state if lora is None else merged(state, build(lora, "model.lora"))

    @cached_property
    def config(self) -> dict[str, Any]:
        """The plain config of the run, with the current names of its keys."""
        return with_younger(with_new_names(self.saved["hyper_parameters"]["config"]))

    @property
    def data(self) -> dict[str, Any]:
        """The group `data` of the config, with relative files and folders as seen from where the run was started.

        Those that are no longer there, and all of older checkpoints, stay as they are.
        """
        return self._from_start["data"]

    @cached_property
    def _from_start(self) -> dict[str, Any]:
        """The config with relative files and folders as seen from where the run was started; see `data`."""
        start = self.started_in
        return self.config if start is None else with_paths(self.config, lambda name: at(start, name))

    @property
    def started_in(self) -> str | None:
        """The working directory of the run, where its relative paths begin; None for older checkpoints."""
        return self.saved["hyper_parameters"].get("started_in")

    @cached_property
    def settings(self) -> TrainSettings:
        """The settings of the run, with the model and the tokenizer that are stored in its directory.

        Raises:
            UserError: the checkpoint is outside the directory of its run, or this version cannot read its settings.
        """
        if not (self.directory / "tokenizer").is_dir():
            raise UserError(
                f"{self.key}='{self.name}': beside {self.checkpoint} there is no tokenizer. Leave checkpoints in "
                "their run's directory."
            )
        model = saved_architecture(self.config["model"], self.directory)
        model = {key: own for key, own in model.items() if key != "lora"}  # merged into `state`
        tokenizer = {"_target_": TOKENIZER, "name": str(self.directory / "tokenizer")}
        return TrainSettings.parse(self._from_start | {"model": model, "tokenizer": tokenizer})

    @property
    def vocabulary(self) -> str:
        """The digest of the tokenizer that the weights belong to."""
        if self.place is not None:
            return self.tokenizer.digest
        return self.saved["hyper_parameters"]["vocabulary"]

    @cached_property
    def labels(self) -> LabelSpec | None:
        """Names and statistics of the labels that the run learned from; None if it learned from text alone."""
        if self.place is not None:
            return None
        known = self.saved["hyper_parameters"]
        kind = task_spec(Component.from_node(self.config["task"])).label_kind
        if kind is None:
            return None
        if isinstance(labels := known.get("labels"), dict):
            return LabelSpec.from_dict(labels)
        mean, std = known.get("values") or (0.0, 1.0)  # checkpoints of older versions
        return LabelSpec(kind, tuple(labels or ()), None, mean, std)

    @property
    def pair_columns(self) -> list[str | int] | None:
        """The columns of the two texts of which the run learned labels; None if it learned from single texts."""
        return None if self.labels is None else pair_columns(self.config["data"])

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the run, or of the model of the hub.

        Raises:
            UserError: there is none, or it is not the tokenizer that the weights belong to.
        """
        if self.place is not None:
            return PretrainedTokenizer(self.place).make(lambda: iter(()))
        folder = Path(self.settings.tokenizer["name"])
        tokenizer = Tokenizer.load(folder)
        if tokenizer.digest != self.vocabulary:
            raise UserError(
                f"{self.key}: {self.checkpoint} was trained with another tokenizer than that in {folder}."
            )
        return tokenizer

    # Objects built from it

    @cached_property
    def task(self) -> Task:
        """The task with its weights, in evaluation mode.

        Raises:
            UserError: it is a model of the hub, which has no task of ours, or the weights do not fit.
        """
        if self.place is not None:
            raise UserError(f"{self.key}='{self.name}' is a model of the hub and no run, so it has no task yet.")
        task = self._new_task()
        self.load_into(task)
        return task.eval()

    def _new_task(self) -> Task:
        settings, vocabulary = self.settings, vocabulary_of(self.tokenizer)
        maskers = make_maskers(settings, build_masks(settings), vocabulary)
        return make_task(settings, maskers, self.tokenizer, self.labels)

    def load_into(self, task: Task) -> None:
        """Loads the weights into a task that was built from the same settings.

        Raises:
            UserError: the weights do not fit.
        """
        found = task.load_state_dict(self.state, strict=False)
        missing = [name for name in found.missing_keys if not name.startswith(MASKERS)] + found.unexpected_keys
        if missing:
            raise UserError(
                f"{self.key}: the weights in {self.checkpoint} do not fit its model: {', '.join(missing[:5])}."
            )

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder with its weights, in evaluation mode."""
        if self.place is None:
            return self.task.encoder
        return self._opened(reinitialize=False)

    @property
    def token_encoder(self) -> Encoder:
        """The encoder whose hidden states `head` takes, see `Task.token_encoder`."""
        return self.task.token_encoder if self.place is None else read_by(self.head, self.encoder)

    @cached_property
    def imported(self) -> Component | None:
        """The model of this package that a folder of transformers holds; None if it is none, or a run."""
        return None if self.place is None else imported_model(self.place)

    def _opened(self, reinitialize: bool) -> Encoder:
        """Returns the encoder of a folder or a name of the hub, in evaluation mode."""
        assert self.place is not None
        if self.imported is None:
            return Pretrained(len(self.tokenizer), self.place, reinitialize=reinitialize).eval()
        encoder: Any = build(self.imported, "model", **of_tokenizer(self.imported, self.tokenizer))
        if not reinitialize:
            encoder.load_state_dict(_inside(self.state, "encoder."))
        return encoder.eval()

    def _own_head(self, encoder: Encoder, reinitialize: bool) -> nn.Module | None:
        """Returns the head for masked tokens of an encoder that `_opened` opened, in evaluation mode."""
        if self.imported is None:
            return None if (own := encoder.own_head()) is None else own.eval()
        state = _inside(self.state, "head.")
        if not state:
            return None
        counts = any(name.startswith("bigrams.") for name in state)
        head = masked_lm_head(encoder, counts, norm_epsilon=self.imported.get("norm_epsilon", 1e-5))
        if not reinitialize:
            # the decoder is the embedding, which some files hold once
            head.load_state_dict({"decoder.weight": encoder.embedding.weight} | state)
        return head.eval()

    @cached_property
    def head(self) -> nn.Module | None:
        """The head for masked tokens, in evaluation mode; None if the run or the model has none."""
        if self.place is None:
            return None if self.translates else self.task.head
        return self._own_head(self.encoder, reinitialize=False)

    @property
    def translates(self) -> bool:
        """Whether the run translates; the head that it has predicts tokens of translations alone."""
        return self.place is None and task_spec(self.settings.task).translates

    @cached_property
    def classifier(self) -> PretrainedClassifier | None:
        """The text classifier of the hub, in evaluation mode; None if its config.json names none, and of a run."""
        if self.place is None or self.imported is not None:
            return None
        kinds = open_config(self.place, trust_remote_code=False).architectures or []
        if not any(kind.endswith(CLASSIFIER) for kind in kinds):
            return None
        return PretrainedClassifier(self.place, self.tokenizer.mask_id)

    @property
    def max_length(self) -> int | None:
        """The most positions of a row, special tokens included, that the model was trained with or can read."""
        most = [self.encoder.max_length]
        if self.place is None:
            most.append(self.settings.data.arguments.get("block_size"))
        return min((length for length in most if length is not None), default=None)

    def untrained(self) -> tuple[Encoder, nn.Module | None]:
        """Returns what `token_encoder` and `head` are, with new random weights, in evaluation mode."""
        if self.place is None:
            task = self._new_task().eval()
            return task.token_encoder, task.head
        encoder = self._opened(reinitialize=True)
        head = self._own_head(encoder, reinitialize=True)
        return read_by(head, encoder), head


def with_younger(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a plain config with the settings that older checkpoints, or options without these keys, lack."""
    config = dict(config)
    for group, younger in _YOUNGER.items():
        known = {key: value for key, value in younger.items() if takes(config[group], group, key)}
        config[group] = known | config[group]
    if finetuning := config["task"].get("finetuning"):
        config["task"] = config["task"] | {"finetuning": {"new_tokens_first": 0.0} | finetuning}
    return config


def _inside(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): weight for name, weight in state.items() if name.startswith(prefix)}


def _without_checkpoint(folder: Path, named: str) -> UserError:
    """Returns what is wrong with a folder that has none of the wanted checkpoints and is no model of the hub."""
    if others := [kind for kind in _KEPT if (folder / CHECKPOINTS / f"{kind}.ckpt").is_file()]:
        return UserError(f"{named} has no such checkpoint, but {others[0]}.ckpt. Set checkpoint={others[0]}.")
    if (folder / CONFIG).is_file():
        return UserError(
            f"{named} is a run without a checkpoint: it ended before its first one, or callbacks=none kept none."
        )
    return UserError(f"{named} is a folder with neither checkpoints of a run nor a config.json of the hub.")
