"""`init_from`: starts a run from the weights of another run, or of a model on the hub."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from maskwright.core.changes import changes, listed
from maskwright.core.errors import UserError
from maskwright.core.paths import on_disk
from maskwright.models.layers.any_size import AnySize
from maskwright.run.assemble import TOKENIZER, task_spec
from maskwright.run.saved import PRETRAINED, SavedRun
from maskwright.settings.build import build, find_target
from maskwright.settings.commands import TrainSettings
from maskwright.settings.component import Component
from maskwright.settings.declared import brings_tokenizer, check_model
from maskwright.tasks import Task
from maskwright.tasks.task import MASKERS
from maskwright.text.tokenizer import Pretrained
from maskwright.text.tokenizer.extension import Extension

_NAMED = 12  # how many weights a message lists
_CHOSEN_ANEW = ("dropout", "trust_remote_code")  # settings of a model that its weights do not depend on


@dataclass(frozen=True)
class Loaded:
    """What a task got from the weights that it starts from.

    Attributes:
        lines: what was loaded, what is new, and what was not used.
        head: whether weights of its head were loaded.
    """

    lines: list[str]
    head: bool


@dataclass(frozen=True)
class Start:
    """The weights that a run starts from.

    Attributes:
        name: the value of `init_from`.
        saved: the run that the weights belong to; None if the library of the model loads them.
    """

    name: str
    saved: SavedRun | None = None

    def load(self, task: Task, extension: Extension | None = None) -> Loaded:
        """Copies the weights of encoder and head into a task.

        Args:
            extension: words that the run adds to the vocabulary of the weights, and has no rows for yet.
        Raises:
            UserError: the weights belong to another vocabulary, or have other shapes.
        """
        if self.saved is None:
            return self._loaded_by_its_library(task)
        path, own = self.saved.checkpoint or self.saved.place, task.state_dict()
        if self.saved.vocabulary != (task.hparams["vocabulary"] if extension is None else extension.base):
            raise UserError(
                f"init_from: {path} was trained with another vocabulary. Leave the choice of the tokenizer to "
                "init_from, or name that of the run: tokenizer=pretrained tokenizer.name=<run directory>/tokenizer"
            )
        offered = self.saved.state
        tables = tuple(f"{name}." for name, part in task.named_modules() if isinstance(part, AnySize))
        own |= {name: weight for name, weight in offered.items() if name.startswith(tables)}
        other_labels = self._other_labels(task)
        taken = self._usable(offered, own, task.label_weights, other_labels)
        if missing := [name for name in own if name.startswith("encoder.") and name not in taken]:
            raise UserError(f"init_from: {path} has no weights for {', '.join(missing[:5])}; it is another model.")
        task.load_state_dict(taken, strict=False)
        new = [name for name in _own_weights(task) if name not in taken and not name.startswith(MASKERS)]
        lines = [f"{len(taken)} of {path}", *_summary(new, [name for name in offered if name not in taken])]
        labels, here = self.saved.labels, task.labels
        if labels is not None and labels.names and other_labels and here is not None and here.names:
            lines.append(f"the head is new, since the old one predicts {', '.join(labels.names)}, in this order")
        return Loaded(lines, any(name.startswith("head.") and name not in new for name in _own_weights(task)))

    def _loaded_by_its_library(self, task: Task) -> Loaded:
        with_head = not task.another_predicts_tokens and task.encoder.own_head() is not None
        brought = ("encoder.", *(["head."] if with_head else []))
        new = [name for name in _own_weights(task) if not name.startswith((*brought, *MASKERS))]
        added = getattr(task.encoder, "added_tokens", 0)
        enlarged = [f"new: the embeddings of {added:,} tokens that were added to the tokenizer"] * bool(added)
        lines = [f"those of {self.name}", *enlarged, *_summary(new, task.encoder.unexpected_keys)]
        return Loaded(lines, with_head)

    def _other_labels(self, task: Task) -> bool:
        """Returns whether the saved head is for other labels than the task, or for numbers in other units."""
        assert self.saved is not None
        own, saved = task.labels, self.saved.labels
        if saved is None:
            return False
        if own is None or own.kind != saved.kind:
            return True
        return own.names != saved.names or (own.mean, own.std) != (saved.mean, saved.std)

    def _usable(
        self,
        offered: dict[str, Tensor],
        own: dict[str, Tensor],
        of_labels: tuple[str, ...],
        other_labels: bool,
    ) -> dict[str, Tensor]:
        """Returns the weights that a task can load.

        A head for labels is loaded completely or not at all.

        Args:
            of_labels: prefixes of the names of weights that belong to labels.
            other_labels: whether those were trained for other labels.
        Raises:
            UserError: weights of the encoder have other shapes.
        """
        shared = [name for name in offered if name in own]
        other_shape = [name for name in shared if offered[name].shape != own[name].shape]
        new_head = other_labels or any(name.startswith(of_labels) for name in other_shape)
        for name in other_shape:
            if name.startswith("encoder."):
                found, here = tuple(offered[name].shape), tuple(own[name].shape)
                raise UserError(f"init_from: {name} is {found} in {self.name} and {here} here.")
        left_out = {*other_shape, *(name for name in shared if new_head and name.startswith(of_labels))}
        return {name: offered[name] for name in shared if name not in left_out}


def starting_point(settings: TrainSettings, overrides: Sequence[str]) -> tuple[TrainSettings, Start | None]:
    """Returns the settings with the model and tokenizer that `init_from` names, and the weights to start from.

    Args:
        overrides: the overrides of the command line, which must not ask for another model.
    Raises:
        UserError: there is nothing of that name, or the command line asks for another model.
    """
    name, model = settings.init_from, settings.model
    if name is None:
        check_model(model)
        if not brings_tokenizer(model):
            return _with_tokenizer(settings), None
        _compare_tokenizers(model, settings.tokenizer)
        return _with_tokenizer(settings), Start(model["name"])
    if not isinstance(name, str):
        raise UserError(
            f"init_from={name} is no text. It must be the directory of a run, a checkpoint, or a name or folder of "
            "the hub."
        )
    saved, asked = SavedRun.open(name, "init_from"), set(map(_key, overrides))
    if saved.imported is not None:
        assert saved.place is not None
        own = _chosen_anew(saved.imported, model)
        _refuse_another_model(asked, model, own, name)
        tokenizer, start = Component(TOKENIZER, {"name": saved.place}), Start(name, saved)
    elif saved.place is not None:
        own = Component(PRETRAINED, {"name": saved.place, "reinitialize": False})
        _refuse_another_model(asked, model, own, name)
        chosen = brings_tokenizer(model) or "model.dropout" in asked
        trusted = model.get("trust_remote_code", False)
        own = own.replace(dropout=model.get("dropout") if chosen else None, trust_remote_code=trusted)
        tokenizer, start = Component(TOKENIZER, {"name": saved.place, "trust_remote_code": trusted}), Start(name)
    else:
        own = _chosen_anew(saved.settings.model, model)
        _refuse_another_model(asked, model, own, name)
        tokenizer, start = Component(TOKENIZER, {"name": str(saved.directory / "tokenizer")}), Start(name, saved)
    _refuse_another_tokenizer(asked, settings.tokenizer, tokenizer["name"], name)
    own = own.replace(lora=model["lora"]) if "lora" in model else own
    if "extend" in settings.tokenizer:
        tokenizer = tokenizer.replace(extend=settings.tokenizer["extend"])
    check_model(own)
    return _with_tokenizer(settings.replace(model=own, tokenizer=tokenizer)), start


def _chosen_anew(own: Component, model: Component) -> Component:
    """Returns a saved model with those of its settings that a run may choose anew.

    In those of models of the hub, `dropout` is None for what the model has, which other models cannot be told.
    """
    chosen = {key: model[key] for key in _CHOSEN_ANEW if key in own and key in model}
    return own.replace(**{k: v for k, v in chosen.items() if v is not None or own.target == PRETRAINED})


def _with_tokenizer(settings: TrainSettings) -> TrainSettings:
    """Returns the settings, after opening a tokenizer that is not trained, before any data is prepared.

    Raises:
        UserError: it does not open, or it has no mask token although tokens are to be masked.
    """
    chosen = settings.tokenizer
    if chosen.target == TOKENIZER and isinstance(chosen.get("name"), str):
        tokenizer = build(chosen, "tokenizer").make(lambda: iter(()))
        if not tokenizer.has_mask and _masks(settings):
            raise UserError(
                f"tokenizer.name={chosen['name']} has no mask token, which masks need. Choose a model that has "
                "one, train a tokenizer (tokenizer=wordpiece), or a task that masks nothing."
            )
    return settings


def _masks(settings: TrainSettings) -> bool:
    """Returns whether anything is masked, in training or in evaluation."""
    return task_spec(settings.task).predicts_tokens or getattr(
        find_target(settings.mask.units, "mask.units"), "masks", True
    )


def _compare_tokenizers(model: Component, asked: Component) -> None:
    """Raises a UserError if most tokens of the chosen tokenizer have other ids in the tokenizer of the model.

    Nothing is compared if there is no tokenizer beside the model.
    """
    name, trusted = model["name"], model.get("trust_remote_code", False)
    tokenizer = asked.get("name") if asked.target == TOKENIZER else None
    if not isinstance(name, str) or not isinstance(tokenizer, str) or tokenizer == name:
        return
    beside = Pretrained(name, trusted)
    if not beside.has_files():
        return
    chosen = build(asked, "tokenizer").make(lambda: iter(()))
    try:
        own = beside.make(lambda: iter(()))
    except UserError as error:
        raise UserError(
            f"model.name={name} has its own tokenizer, which does not open, so that tokenizer.name={tokenizer} "
            f"cannot be compared with it. {error}"
        ) from error
    ids, known = (one.backend.get_vocab(with_added_tokens=True) for one in (chosen, own))
    if sum(known.get(token) == number for token, number in ids.items()) < len(ids) / 2:
        raise UserError(
            f"model.name={name} was trained with its own tokenizer, but tokenizer.name={tokenizer} is another. "
            f"Set tokenizer.name={name}"
        )


def _refuse_another_tokenizer(asked: Iterable[str], tokenizer: Component, own: str, name: str) -> None:
    """Raises a UserError if the command line asks for another tokenizer than that of the weights."""
    place = tokenizer.get("name")
    same = isinstance(place, str) and Path(on_disk(place, "tokenizer.name")).resolve() == Path(own).resolve()
    keys = [key for key in asked if key != "tokenizer.extend"]  # which is about any tokenizer
    chosen = any(key == "tokenizer" or key.startswith("tokenizer.") for key in keys)
    if chosen and not same and place != own:
        raise UserError(
            f"init_from={name} brings its own tokenizer, and another was asked for. Leave out the choice of the "
            "tokenizer, or train without init_from."
        )


def _refuse_another_model(asked: Iterable[str], model: Component, own: Component, name: str) -> None:
    """Raises a UserError if the command line asks for another model than that of the weights."""
    keys = set(asked)
    chosen = any(key == "model" or key.startswith("model/") for key in keys)  # a whole model, not single settings
    differ = [
        change
        for change in changes(own.to_node(), model.to_node(), "model")
        if (chosen or change.key in keys)
        and change.key not in [f"model.{key}" for key in _CHOSEN_ANEW]
        and change.key.split(".")[1] != "lora"
    ]
    if differ:
        raise UserError(f"init_from={name} brings its own model, and another was asked for: {listed(differ)}.")


def _own_weights(task: Task) -> list[str]:
    """Returns the names of the weights of a task, without those of its head that are weights of the encoder."""
    state = dict(task.named_parameters(remove_duplicate=False))
    shared = {weight.data_ptr() for name, weight in state.items() if name.startswith("encoder.")}
    return [n for n, weight in state.items() if n.startswith("encoder.") or weight.data_ptr() not in shared]


def _summary(new: Sequence[str], unused: Sequence[str]) -> list[str]:
    lines = []
    for what, names in (("new", new), ("left out", unused)):
        others = f" and {len(names) - _NAMED:,} others" * (len(names) > _NAMED)
        lines += [f"{what}: {', '.join(names[:_NAMED])}{others}"] * bool(names)
    return lines


def _key(override: str) -> str:
    return override.lstrip("+").partition("=")[0]
