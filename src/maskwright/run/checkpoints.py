"""Which checkpoint a run resumes from, and whether it can."""

import zipfile
from glob import escape, glob
from pathlib import Path
from typing import Any

import yaml

from maskwright.core.errors import UserError
from maskwright.core.paths import CHECKPOINTS, LAST, PREVIOUS
from maskwright.core.renamed import with_new_names
from maskwright.core.terminal import console
from maskwright.corpora.recipe import key_of, sources_of
from maskwright.reports import summary
from maskwright.run.directory import CONFIG
from maskwright.run.saved import SavedRun
from maskwright.settings.base import get
from maskwright.settings.commands import TrainSettings
from maskwright.tasks import Task

AUTO, NEWEST = "auto", "last"


def find_checkpoint(settings: TrainSettings, named: bool = False) -> SavedRun | None:
    """Opens what `ckpt_path` names.

    That is a file, or the last checkpoint of a run directory; `auto` is that of the run's own directory, if it has
    one, and `last` that of the newest run of the task. A damaged `last.ckpt` is replaced by the one before it.

    Args:
        named: whether the user has named the directory of the run.
    Raises:
        UserError: there is no such checkpoint.
    """
    if (name := settings.ckpt_path) is None:
        return None
    if name not in (AUTO, NEWEST):
        path = Path(name).expanduser()
        if path.is_file():
            return SavedRun.open(path, "ckpt_path")
        if (found := _last_whole(path / CHECKPOINTS)) is None:
            missing = path / CHECKPOINTS / LAST if path.is_dir() else path
            raise UserError(f"ckpt_path='{name}': there is no checkpoint {missing}.")
        return found
    run_dir = Path(settings.run_dir)
    own = _last_whole(run_dir / CHECKPOINTS)  # of a directory with a fixed name, in which a run is resumed
    if own is not None or name == AUTO:
        return own
    if named:
        raise UserError(
            f"ckpt_path=last: run_dir={run_dir} has no checkpoint yet. ckpt_path=auto begins such a run, and "
            "ckpt_path=<run directory> continues another one."
        )
    # search logs/<task> if the run is in such a folder, else all of logs/
    runs = next((path for path in run_dir.absolute().parents if path.parent.name == "logs"), Path("logs"))
    # unlike rglob, glob follows links: logs/ often lies on another disk
    saved = map(Path, glob(f"{escape(str(runs))}/**/{CHECKPOINTS}/{LAST}", recursive=True))
    newest = max(saved, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        raise UserError(f"ckpt_path=last: no run below {runs} has a checkpoint yet. Name one: ckpt_path=<file>.")
    return _last_whole(newest.parent)


def _last_whole(folder: Path) -> SavedRun | None:
    """Opens the last checkpoint of a folder, or the one before it where that is damaged; None if there is none.

    Raises:
        UserError: all are damaged.
    """
    found = [path for path in (folder / LAST, folder / PREVIOUS) if path.is_file()]
    for path in found:
        if (damage := _damage(path)) is None:
            return SavedRun.open(path, "ckpt_path")
        console().print(f"warning: {path} is damaged ({damage})")
    if found:
        raise UserError(
            f"ckpt_path: {' and '.join(map(str, found))} cannot be read. Delete the folder to begin anew."
        )
    return None


def _damage(path: Path) -> str | None:
    """Returns what is wrong with the file of a checkpoint, all of whose bytes are read; None if nothing is."""
    try:
        with zipfile.ZipFile(path) as file:
            broken = file.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        return str(error)
    return None if broken is None else f"{broken} is not what was written"


def completed(settings: TrainSettings) -> dict[str, float] | None:
    """Returns the final metrics of a directory whose run has completed all that the settings ask for.

    None if it has not.
    """
    found = summary.read(Path(settings.run_dir))
    if found.get("status") != "completed":
        return None
    try:
        before = with_new_names(yaml.safe_load((Path(settings.run_dir) / CONFIG).read_text()))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    trainer = settings.trainer
    steps, epochs = found["counts"]["steps"], found["counts"]["epochs"]
    ended = 0 < trainer.max_steps <= steps
    if trainer.max_epochs is not None and epochs:  # of which the last step may lack a part
        ended |= trainer.max_epochs < epochs * (1 + 1 / steps)
    ended |= bool(found["ended_by_max_time"]) and get(before, "trainer.max_time") == trainer.max_time
    ended |= bool(found["stopped_early"]) and before["callbacks"] == settings.plain()["callbacks"]
    if not ended:
        return None
    return {name: float("nan") if value is None else value for name, value in found["metrics"].items()}


def check_resumable(saved: SavedRun, task: Task, settings: TrainSettings) -> None:
    """Checks that the state of a checkpoint fits a run.

    Raises:
        UserError: the file is no checkpoint, has another tokenizer or other labels, or nothing is left to do.
    """
    path, before = saved.checkpoint, saved.config
    if saved.vocabulary != task.hparams["vocabulary"]:
        raise UserError(
            f"ckpt_path: {path} was trained with another tokenizer: {before['tokenizer']} on "
            f"{_sources(before['data'])}. Use that data and tokenizer, or its run's own: "
            f"tokenizer=pretrained tokenizer.name={saved.directory / 'tokenizer'}"
        )
    labels = () if saved.labels is None else saved.labels.names
    own = () if task.labels is None else task.labels.names
    if labels != own:
        raise UserError(
            f"ckpt_path: {path} has the labels {', '.join(labels) or 'none'}, and the data has "
            f"{', '.join(own) or 'none'}."
        )
    max_steps = settings.trainer.max_steps
    # a run that was killed after its last step has yet to be tested
    if 0 < max_steps < saved.step or (
        max_steps == saved.step and summary.read(saved.directory).get("status") == "completed"
    ):
        raise UserError(
            f"ckpt_path: {path} has trained {saved.step} steps, and trainer.max_steps={max_steps} leaves nothing "
            f"to do. Set trainer.max_steps={2 * saved.step}, for example."
        )


def _sources(data: dict[str, Any]) -> str:
    return ", ".join(f"{key_of(name)}.source='{own['source']}'" for name, own in sources_of(data).items())
