"""Which checkpoint a run goes on from, and whether it can."""

from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule

from maskwright.core.errors import UserError

# settings of a task that say which weights there are, or how its optimizer groups them
_PARTS = (
    "task._target_",
    "task.pooling",
    "task.crf",
    "task.case",
    *(f"task.finetuning.{name}" for name in ("freeze", "layer_decay", "head_lr", "head_weight_decay")),
)
# settings that are younger than some checkpoints, and what runs did before they could be chosen
_YOUNGER: dict[str, dict[str, Any]] = {
    "model": {"convolution": 0, "query_key_norm": False, "value_residual": False},
    "task": {"case": False},
}


def find_checkpoint(ckpt_path: str | None, run_dir: Path) -> Path | None:
    """The checkpoint that `ckpt_path` means: a file, a run directory's last, or with `last` the newest run's.

    Raises:
        UserError: there is none.
    """
    if ckpt_path is None:
        return None
    if ckpt_path != "last":
        path = Path(ckpt_path).expanduser()
        path = path / "checkpoints" / "last.ckpt" if path.is_dir() else path
        if not path.is_file():
            raise UserError(f"ckpt_path='{ckpt_path}': there is no checkpoint {path}.")
        return path
    if (own := run_dir / "checkpoints" / "last.ckpt").is_file():
        return own  # hydra.run.dir names a run that is to go on in place
    # the task's folder, logs/<task>, where the run is in one; else all of logs/
    runs = next((path for path in run_dir.resolve().parents if path.parent.name == "logs"), Path("logs"))
    found = max(runs.rglob("checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime, default=None)
    if found is None:
        raise UserError(f"ckpt_path=last: no run below {runs} has a checkpoint yet. Name one: ckpt_path=<file>.")
    return found


def read_checkpoint(path: Path, key: str) -> dict[str, Any]:
    """A checkpoint of ours, memory-mapped; its `hyper_parameters` hold the `config` and the `vocabulary`.

    Args:
        key: of the config that names it, for messages.
    Raises:
        UserError: it is none, or damaged.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        for name in ("config", "vocabulary"):
            saved["hyper_parameters"][name]
        for name in ("global_step", "state_dict"):
            saved[name]
    except Exception as error:
        raise UserError(f"{key}: {path} is no checkpoint of this project, or a damaged one: {error}") from error
    return saved


def check_checkpoint(path: Path, task: LightningModule) -> list[str]:
    """Refuses a checkpoint that the run cannot go on from.

    Returns:
        What else is not as it was, one sentence a setting; what says only where and how a run is shown
        and stored does not count.
    Raises:
        UserError: the file is no checkpoint, or of another architecture, tokenizer or optimizer.
    """
    saved = read_checkpoint(path, "ckpt_path")
    known, step = saved["hyper_parameters"], saved["global_step"]
    vocabulary, now = known["vocabulary"], task.hparams["config"]
    before = known["config"] | {
        group: {key: value for key, value in younger.items() if key in now[group]} | known["config"][group]
        for group, younger in _YOUNGER.items()
    }
    if changes := changed(before["model"], now["model"], "model"):
        raise UserError(f"ckpt_path: {path} is of another architecture: {'; '.join(changes)}.")
    if vocabulary != task.hparams["vocabulary"]:
        raise UserError(
            f"ckpt_path: {path} was trained with another tokenizer: {before['tokenizer']} on "
            f"{_sources(before['data'])}. Use that data and tokenizer, or its run's own: "
            f"tokenizer=pretrained tokenizer.name={path.parent.parent / 'tokenizer'}"
        )
    of_task, of_own = ({key: _learned(config["task"], key) for key in _PARTS} for config in (before, now))
    if changes := changed(of_task, of_own):
        raise UserError(f"ckpt_path: {path} is of another task: {'; '.join(changes)}.")
    labels = known.get("labels")
    if labels != task.hparams["labels"]:
        raise UserError(
            f"ckpt_path: {path} tells {', '.join(labels or ['no classes'])}, and the data has "
            f"{', '.join(task.hparams['labels'] or ['none'])}."
        )
    if before["optimizer"]["_target_"] != now["optimizer"]["_target_"]:
        raise UserError(
            f"ckpt_path: {path} holds the state of {before['optimizer']['_target_']}, which "
            f"{now['optimizer']['_target_']} cannot go on from. Choose the same optimizer."
        )
    if 0 < now["trainer"]["max_steps"] <= step:
        raise UserError(
            f"ckpt_path: {path} has trained {step} steps, and trainer.max_steps={now['trainer']['max_steps']} "
            f"leaves nothing to do. Set trainer.max_steps={2 * step}, for example."
        )
    compared = ("seed", "task", "data", "mask", "evaluation_mask", "optimizer", "schedule")
    return changed({key: before.get(key) for key in compared}, {key: now.get(key) for key in compared})


def _learned(task: dict[str, Any], key: str) -> Any:
    """A setting of a task, by a dotted name; None where it has none."""
    value: Any = task
    for name in key.split(".")[1:]:
        value = (value or {}).get(name)
    return value


def _sources(data: dict[str, Any]) -> str:
    parts = (
        {"data": data} if data.get("parts") is None else {f"data.parts.{n}": p for n, p in data["parts"].items()}
    )
    return ", ".join(f"{name}.source='{part['source']}'" for name, part in parts.items())


def changed(before: Any, now: Any, path: str = "") -> list[str]:
    """The settings that differ between two plain configs, as `key was x and is y`."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        dot = f"{path}." if path else ""
        return [line for key in keys for line in changed(before.get(key), now.get(key), f"{dot}{key}")]
    return [] if before == now else [f"{path} was {before!r} and is {now!r}"]
