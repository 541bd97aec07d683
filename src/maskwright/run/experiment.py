"""Whether a run is the same experiment as the one that it resumes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from maskwright.core.changes import Change, changes, dotted_keys, listed
from maskwright.core.errors import UserError, nearest
from maskwright.core.renamed import with_new_names
from maskwright.corpora.listing import at
from maskwright.run.assemble import task_spec
from maskwright.run.directory import CONFIG
from maskwright.run.saved import SavedRun, with_younger
from maskwright.settings.base import get
from maskwright.settings.build import find_target
from maskwright.settings.commands import TrainSettings
from maskwright.settings.component import Component
from maskwright.settings.texts import with_paths

# what an experiment is; the other settings say how long, where and how fast it runs, and what it shows
_EXPERIMENT = (
    *("seed", "task", "data", "mask", "evaluation_mask", "model", "optimizer", "schedule", "init_from"),
    *("trainer.gradient_clip_val", "trainer.gradient_clip_algorithm"),
)
_NO_PART = {"data.cache_dir"}


def check_unchanged(saved: SavedRun | None, settings: TrainSettings) -> list[str]:
    """Checks that the experiment is the one that a run resumes, or under `auto` the one of its directory.

    Returns:
        The settings that have changed, as `resume.allow` permits, one sentence each.
    Raises:
        UserError: other settings of the experiment have changed, or `resume.allow` names no setting.
    """
    now = settings.plain()
    for name in settings.resume.allow:
        if get(now, name) is None and name not in dotted_keys(now):
            raise UserError(f"resume.allow: there is no key '{name}'.{nearest(name, dotted_keys(now))}")
    now = with_younger(now)  # an option need not have all keys that its class takes
    if saved is not None:
        before, start, of = saved.config, saved.started_in, f"ckpt_path: {saved.checkpoint}"
        _check_kind(saved, now)
    else:
        path = Path(settings.run_dir) / CONFIG
        try:
            before = with_new_names(yaml.safe_load(path.read_text()) or {})
            before = with_younger(before) if before else {}
        except FileNotFoundError:
            before = {}
        start, of = None, f"run_dir={settings.run_dir}"
    if not before:
        return []
    found = _changes(before, now, start)
    refused = [change for change in found if not _allowed(change.key, settings.resume.allow)]
    if refused:
        keys = ",".join(change.key for change in refused)
        raise UserError(
            f"{of} is of another experiment: {listed(refused)}. Leave these as they were, or continue with the new "
            f"ones by resume.allow=[{keys}]."
        )
    return [str(change) for change in found]


def _changes(before: dict[str, Any], now: dict[str, Any], start: str | None) -> list[Change]:
    """Returns what has changed of the experiment. Another name of the same file is no change."""

    def parts(config: Mapping[str, Any], folder: str | None = None) -> dict[str, Any]:
        config = config if folder is None else with_paths(config, lambda name: at(folder, name))
        return {key: _followed(get(config, key)) for key in _EXPERIMENT}

    here = str(Path.cwd())
    moved = {change.key for change in changes(parts(before, start or here), parts(now, here))}
    found = changes(parts(before), parts(now))
    return [change for change in found if change.key in moved and change.key not in _NO_PART]


def _followed(group: Any) -> Any:
    """Returns a group of settings without those that say nothing, which older runs do not have."""
    if not isinstance(group, Mapping):
        return group
    silent = {"temperature": group.get("temperature") == 1}
    for name, key in (("replay", "source"), ("lora", "rank")):
        silent[name] = get(group, f"{name}.{key}") is None
    return {key: value for key, value in group.items() if not silent.get(key)}


def _allowed(key: str, allowed: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in allowed)


def _check_kind(saved: SavedRun, now: dict[str, Any]) -> None:
    """Checks that model, task and optimizer are those whose state the checkpoint holds, which nothing can allow."""
    path, before = saved.checkpoint, saved.config
    if found := changes(_followed(before["model"]), _followed(now["model"]), "model"):
        raise UserError(f"ckpt_path: {path} is of another architecture: {listed(found)}.")
    if found := _of_another_task(before["task"], now["task"]):
        raise UserError(f"ckpt_path: {path} is of another task: {listed(found)}.")
    if before["optimizer"]["_target_"] != now["optimizer"]["_target_"]:
        raise UserError(
            f"ckpt_path: {path} holds the state of {before['optimizer']['_target_']}, which "
            f"{now['optimizer']['_target_']} cannot continue from. Choose the same optimizer."
        )


def _of_another_task(before: dict[str, Any], now: dict[str, Any]) -> list[Change]:
    """Returns the changes between two tasks that keep one from loading the weights of the other."""
    own = Component.from_node(now)
    fixed = ["_target_", *find_target(own, "task").fixed_settings]
    if task_spec(Component.from_node(before)).predicts_tokens != task_spec(own).predicts_tokens:
        fixed.append("mlm_weight")
    old, new = ({f"task.{key}": get(task, key) for key in fixed} for task in (before, now))
    return changes(old, new)
