"""Which checkpoint a run goes on from, and whether it can."""

import hashlib
from pathlib import Path

import torch
from lightning import LightningModule

from maskwright.errors import UserError
from maskwright.text.tokenizer import Tokenizer


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
    # logs/<task>/<date>/<time>
    runs = run_dir.resolve().parents[1] if len(run_dir.resolve().parents) > 1 else run_dir
    found = max(runs.rglob("checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime, default=None)
    if found is None:
        raise UserError(f"ckpt_path=last: no run below {runs} has a checkpoint yet. Name one: ckpt_path=<file>.")
    return found


def vocabulary_digest(tokenizer: Tokenizer) -> str:
    """A digest of which id means which token."""
    tokens = sorted(tokenizer.backend.get_vocab(with_added_tokens=True).items())
    return hashlib.blake2b(repr(tokens).encode(), digest_size=8).hexdigest()


def check_checkpoint(path: Path, task: LightningModule) -> None:
    """Refuses a checkpoint of another architecture or tokenizer.

    Raises:
        UserError: names what differs, or says that the file is no checkpoint.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["hyper_parameters"]
    except Exception as error:
        raise UserError(f"ckpt_path: {path} is no checkpoint of this project, or a damaged one: {error}") from error
    now = dict(task.hparams)
    if saved.get("model") != now["model"]:
        before = saved.get("model", {})
        different = [
            f"model.{key} was {before.get(key)!r} and is {now['model'].get(key)!r}"
            for key in sorted(before.keys() | now["model"].keys())
            if before.get(key) != now["model"].get(key)
        ]
        raise UserError(f"ckpt_path: {path} is of another architecture: {'; '.join(different)}.")
    if saved.get("vocabulary") != now["vocabulary"]:
        raise UserError(
            f"ckpt_path: {path} was trained with another tokenizer: {saved['config']['tokenizer']} on "
            f"data.source='{saved['config']['data']['source']}'. Use that data and tokenizer, or its run's own: "
            f"tokenizer=pretrained tokenizer.name={path.parent.parent / 'tokenizer'}"
        )
