"""Which checkpoint a run resumes from, and whether it can."""

from glob import escape, glob
from pathlib import Path
from typing import Any

from maskwright.core.changes import Change, changes, listed
from maskwright.core.errors import UserError
from maskwright.corpora.recipe import key_of, sources_of
from maskwright.run.assemble import task_spec
from maskwright.run.saved import SavedRun
from maskwright.settings.base import get
from maskwright.settings.build import find_target
from maskwright.settings.commands import TrainSettings
from maskwright.settings.component import Component
from maskwright.tasks import Task

# groups whose changes are reported; the others only say where a run is stored and how it is shown
_COMPARED = ("seed", "task", "data", "mask", "evaluation_mask", "optimizer", "schedule")


def find_checkpoint(settings: TrainSettings) -> SavedRun | None:
    """Opens what `ckpt_path` names: a file, the last checkpoint of a run directory, or (`last`) of the newest run.

    Raises:
        UserError: there is no such checkpoint.
    """
    if (name := settings.ckpt_path) is None:
        return None
    if name != "last":
        path = Path(name).expanduser()
        path = path / "checkpoints" / "last.ckpt" if path.is_dir() else path
        if not path.is_file():
            raise UserError(f"ckpt_path='{name}': there is no checkpoint {path}.")
        return SavedRun.open(path, "ckpt_path")
    run_dir = Path(settings.run_dir)
    if (own := run_dir / "checkpoints" / "last.ckpt").is_file():
        return SavedRun.open(own, "ckpt_path")  # hydra.run.dir names a run that is resumed in place
    # search logs/<task> if the run is in such a folder, else all of logs/
    runs = next((path for path in run_dir.absolute().parents if path.parent.name == "logs"), Path("logs"))
    # unlike rglob, glob follows links: logs/ often lies on another disk
    saved = map(Path, glob(f"{escape(str(runs))}/**/checkpoints/last.ckpt", recursive=True))
    found = max(saved, key=lambda path: path.stat().st_mtime, default=None)
    if found is None:
        raise UserError(f"ckpt_path=last: no run below {runs} has a checkpoint yet. Name one: ckpt_path=<file>.")
    return SavedRun.open(found, "ckpt_path")


def check_resumable(saved: SavedRun, task: Task, settings: TrainSettings) -> list[str]:
    """Checks that a run can resume from a checkpoint.

    Returns:
        The other settings that have changed, one sentence each.
    Raises:
        UserError: the file is no checkpoint, or has another architecture, tokenizer, task or optimizer.
    """
    path, before, now = saved.checkpoint, saved.config, settings.plain()
    if found := changes(before["model"], now["model"], "model"):
        raise UserError(f"ckpt_path: {path} is of another architecture: {listed(found)}.")
    if saved.vocabulary != task.hparams["vocabulary"]:
        raise UserError(
            f"ckpt_path: {path} was trained with another tokenizer: {before['tokenizer']} on "
            f"{_sources(before['data'])}. Use that data and tokenizer, or its run's own: "
            f"tokenizer=pretrained tokenizer.name={saved.directory / 'tokenizer'}"
        )
    if found := _of_another_task(before["task"], now["task"]):
        raise UserError(f"ckpt_path: {path} is of another task: {listed(found)}.")
    labels = () if saved.labels is None else saved.labels.names
    own = () if task.labels is None else task.labels.names
    if labels != own:
        raise UserError(
            f"ckpt_path: {path} has the labels {', '.join(labels) or 'none'}, and the data has "
            f"{', '.join(own) or 'none'}."
        )
    if before["optimizer"]["_target_"] != now["optimizer"]["_target_"]:
        raise UserError(
            f"ckpt_path: {path} holds the state of {before['optimizer']['_target_']}, which "
            f"{now['optimizer']['_target_']} cannot continue from. Choose the same optimizer."
        )
    max_steps = settings.trainer.max_steps
    if 0 < max_steps <= saved.step:
        raise UserError(
            f"ckpt_path: {path} has trained {saved.step} steps, and trainer.max_steps={max_steps} leaves nothing "
            f"to do. Set trainer.max_steps={2 * saved.step}, for example."
        )
    old, new = ({key: config.get(key) for key in _COMPARED} for config in (before, now))
    return [str(change) for change in changes(old, new)]


def _of_another_task(before: dict[str, Any], now: dict[str, Any]) -> list[Change]:
    """Returns the changes between two tasks that keep one from loading the weights of the other."""
    own = Component.from_node(now)
    fixed = ["_target_", *find_target(own, "task").fixed_settings]
    if task_spec(Component.from_node(before)).predicts_tokens != task_spec(own).predicts_tokens:
        fixed.append("mlm_weight")
    old, new = ({f"task.{key}": get(task, key) for key in fixed} for task in (before, now))
    return changes(old, new)


def _sources(data: dict[str, Any]) -> str:
    return ", ".join(f"{key_of(name)}.source='{own['source']}'" for name, own in sources_of(data).items())
