"""Writes a finished run or a model of the hub in a format of other programs, and checks what was written."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from maskwright.core.errors import UserError
from maskwright.core.hub import first_line
from maskwright.core.terminal import console
from maskwright.corpora.lines import lines_of
from maskwright.export.check import EXACT, Outputs, Rows, compare, measure, metric_of, outputs_of, probes
from maskwright.export.formats import FORMATS, Format
from maskwright.export.graph import Exportable, SpanLogits, TextOutputs, TokenLogits, WordLogits
from maskwright.masking import Masked
from maskwright.models import WithNeighbours
from maskwright.reports.summary import read
from maskwright.run.ask import open_checkpoint
from maskwright.run.assemble import make_maskers, prepare, vocabulary_of
from maskwright.run.predict_inputs import cleaning_of
from maskwright.run.saved import SavedRun
from maskwright.run.trainer import quiet
from maskwright.settings.commands import ExportSettings, TrainSettings

_ROWS = 8  # of a batch of texts from a file


def export(cfg: DictConfig) -> Path:
    """Writes the model that a composed `conf/export.yaml` describes; returns the folder.

    Raises:
        UserError: there is no such model, the format cannot express it, the folder exists, or what was written does
            not compute the same.
    """
    quiet()
    asked = ExportSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    saved = open_checkpoint(asked.run, asked.checkpoint)
    folder = _target(asked, saved)
    own, form = exportable(saved, asked.head), FORMATS[asked.format]
    own.about["license"] = asked.license
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with torch.no_grad():
            form.write(own, made, asked.quantize)
        found = _checked(own, form, made, saved, asked)
        made.chmod(0o755)
        if folder.exists():  # only now, so that a failed export leaves the one before it
            shutil.rmtree(folder)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    if asked.push is not None:
        push(folder, asked.push)
    console().print(f"Everything is in {folder}. {found}")
    return folder


def _target(asked: ExportSettings, saved: SavedRun) -> Path:
    """Returns the folder to write.

    Raises:
        UserError: none is named for a model of the hub, or it exists.
    """
    if asked.output is None and saved.place is not None:
        raise UserError(f"run='{asked.run}' is a model of the hub. Name the folder to write: output=my_model")
    named = _default(asked, saved) if asked.output is None else Path(asked.output).expanduser()
    folder = named.absolute()
    if folder.is_file():
        raise UserError(f"output={folder} is a file. Name a folder.")
    if folder.exists() and any(folder.iterdir()) and not asked.overwrite:
        raise UserError(f"output={folder} exists. Set overwrite=true to replace it, or name another folder.")
    foreign = not any((folder / name).exists() for name in ("README.md", "config.json"))
    if folder.exists() and foreign and any(folder.iterdir()):
        raise UserError(f"output={folder} holds files that no export has written. Name another folder.")
    return folder


def _default(asked: ExportSettings, saved: SavedRun) -> Path:
    name = asked.format if asked.quantize is None else f"{asked.format}-{asked.quantize}"
    return saved.directory / "export" / name


def push(folder: Path, repository: str) -> None:
    """Uploads a folder to a repository of the hub, which is made if there is none.

    Raises:
        UserError: the hub refuses it, or is not reached.
    """
    from huggingface_hub import HfApi

    try:
        hub = HfApi()
        hub.create_repo(repository, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=folder)
    except Exception as error:  # of any kind: of the network, of the hub, of names
        raise UserError(
            f"push={repository}: the hub does not take it: {first_line(error)} The folder {folder} is complete. "
            "Log in with `hf auth login`, then push it again with overwrite=true."
        ) from error


def exportable(saved: SavedRun, head: str) -> Exportable:
    """Returns what is exported of a run or of a model of the hub.

    Args:
        head: `labels` or `tokens`: which head of a run that learned both.
    Raises:
        UserError: it has no such head.
    """
    if saved.translates:
        raise UserError(
            f"run='{saved.name}' translates, in several passes and with a length that it predicts, which none of "
            f"the formats expresses. Ask the run itself: python src/translate.py run='{saved.name}'"
        )
    tokenizer, longest = saved.tokenizer, saved.max_length
    task: Any = None if saved.place is not None else saved.task.float()
    labels = None if task is None or head == "tokens" else saved.labels
    if labels is not None:
        assert labels.kind != "translation"  # refused above
        module: Any = {"tags": WordLogits, "answers": SpanLogits}.get(labels.kind, TextOutputs)(task)
        crf = task.crf if labels.kind == "tags" else None
        data = saved.settings.data.arguments
        shown = ("block_size", "truncate", "context", "stride", "longest_question")
        reading = {key: data[key] for key in shown if key in data}
        reading["cleaning"] = cleaning_of(saved.config["data"])
        is_pair = labels.kind == "answers" or saved.pair_columns is not None
        return Exportable(
            labels.kind,
            module.eval(),
            task.encoder,
            tokenizer,
            labels,
            longest,
            crf,
            reading,
            about(saved),
            is_pair,
        )
    if saved.head is None:
        raise UserError(
            f"run='{saved.name}' predicts no masked tokens"
            + (", only labels. Set head=labels." * (task is not None))
        )
    encoder = saved.token_encoder
    if isinstance(encoder, WithNeighbours):  # around which the module below puts it again
        encoder = encoder.encoder
    if task is not None and task.another_predicts_tokens:
        raise UserError(
            f"run='{saved.name}' predicts masked tokens by an encoder that only helps its own to learn, and is not "
            "exported. Fine-tune its own (init_from), and export that run."
        )
    module = TokenLogits(encoder.float(), saved.head.float()).eval()  # type: ignore[attr-defined]
    return Exportable("tokens", module, encoder, tokenizer, None, longest, about=about(saved))


def about(saved: SavedRun) -> dict[str, Any]:
    """Returns what describes a run or a model of the hub, see `Exportable`."""
    if saved.place is not None:
        return {"name": Path(saved.place).name, "model": {} if saved.imported is None else saved.imported.arguments}
    summary, config = read(saved.directory), saved.config
    model = {name: value for name, value in config["model"].items() if name != "_target_"}
    results = {
        name: value
        for name, value in summary.items()
        if isinstance(value, int | float | str) and name not in ("command", "git")
    }
    facts = {
        "Results": results,
        "Data": config["data"],
        "Mask": config["mask"] if saved.head is not None else None,
        "Model": model,
        "Command": summary.get("command"),
    }
    return {"name": saved.directory.name, "model": model, "facts": facts}


def _checked(own: Exportable, form: Format, folder: Path, saved: SavedRun, asked: ExportSettings) -> str:
    """Compares what was written with the model; returns what was found, for people.

    Raises:
        UserError: it computes something else.
    """
    batches, exported = list(_batches(own, saved, asked)), form.open(own, folder)
    if asked.quantize is not None:
        return _check_metric(own, exported, batches, asked.tolerance)
    found = compare(own, exported, probes(own, batches))
    if found.largest > EXACT:
        raise UserError(
            f"The export computes something else: its outputs differ by up to {found.largest:.2g} from the "
            f"model's, and {EXACT:g} is allowed. Nothing was written."
        )
    shortest, longest = found.lengths
    return (
        f"Outputs differ by at most {found.largest:.1e} from the model's, on {found.rows} rows of {shortest} to "
        f"{longest} tokens."
    )


def _check_metric(own: Exportable, exported: Outputs, batches: list[Rows], tolerance: float) -> str:
    before, after = (measure(own, outputs, batches) for outputs in (outputs_of(own), exported))
    name, rows = metric_of(own), sum(len(batch["input_ids"]) for batch, _ in batches)
    worse = (after - before) / before if name == "loss" else before - after
    said = f"{name} {after:.4f}, and {before:.4f} without quantization, on {rows} rows"
    if not worse <= tolerance:  # which it is not if the outputs are no numbers
        raise UserError(
            f"The export is worse than tolerance={tolerance:g} allows: {said}. Nothing was written. Leave quantize "
            "at null, or allow more."
        )
    return f"Its {said}."


def _batches(own: Exportable, saved: SavedRun, asked: ExportSettings) -> Iterator[Rows]:
    """Yields batches of real texts.

    Raises:
        UserError: there are none.
    """
    masked: Any = _every_seventh(own)
    if asked.file is not None:
        batches = _of_file(own, Path(asked.file).expanduser(), asked.limit)
    elif saved.place is not None:
        raise UserError(
            f"run='{saved.name}' is a model of the hub, which has no validation split to be compared on. Name a "
            "file with a text in each line: file=texts.txt"
        )
    else:
        settings = evaluated(saved)
        data, masks = prepare(settings)
        masked = (
            make_maskers(settings, masks, vocabulary_of(saved.tokenizer, data)).get("evaluation_mask") or masked
        )
        batches = _first(data.val_dataloader(), asked.limit)
    for batch in batches:
        yield Rows(batch, masked(batch) if own.kind == "tokens" else None)


def _first(batches: Iterable[dict[str, torch.Tensor]], rows: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yields the first batches, until they have so many rows."""
    for batch in batches:
        yield batch
        rows -= len(batch["input_ids"])
        if rows <= 0:
            return


def evaluated(saved: SavedRun) -> TrainSettings:
    """Returns the settings of a run for an evaluation on the CPU, in float32."""
    hardware = saved.settings.hardware.replace(
        accelerator="cpu", devices=1, nodes=1, strategy="auto", precision="32-true", compile=False
    )
    return saved.settings.replace(hardware=hardware, callbacks={}, logger={}, run_dir=str(saved.directory))


def _of_file(own: Exportable, path: Path, limit: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yields batches of the texts of a file, cut to the length of a row.

    Raises:
        UserError: it is empty, or more is needed than texts: the words of tags, or questions.
    """
    if own.kind == "answers" or own.paired:
        what = "task=question_answering" if own.kind == "answers" else "pairs of texts"
        raise UserError(f"file: a run of {what} is compared on its validation split. Leave file at null.")
    if own.kind == "tags":
        raise UserError("file: a run of task=tagging is compared on its validation split. Leave file at null.")
    texts = (text for text in lines_of(path, "file") if text.strip())
    number = 0
    while some := list(islice(texts, min(_ROWS, limit - number))):
        number += len(some)
        tokenizer = own.tokenizer
        room = None if own.max_length is None else own.max_length - 2
        rows = [
            torch.tensor([tokenizer.cls_id, *ids[:room].tolist(), tokenizer.sep_id])
            for ids, _ in tokenizer.encode(some)
        ]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_id)
        lengths = torch.tensor([len(row) for row in rows])
        yield {"input_ids": ids, "attention_mask": torch.arange(ids.shape[1]) < lengths[:, None]}
    if not number:
        raise UserError(f"file={path} is empty. Name a file with a text in each line.")


def _every_seventh(own: Exportable) -> Any:
    """Returns what masks the first, the eighth, … token after the special one of each row of a batch."""

    def masked(batch: dict[str, torch.Tensor]) -> Masked:
        ids = batch["input_ids"].clone()
        seen = batch.get("attention_mask", torch.ones_like(ids))
        last = (seen.diagonal(dim1=1, dim2=2) if seen.ndim == 3 else seen).sum(1, keepdim=True) - 1
        positions = torch.minimum(torch.arange(1, max(ids.shape[1], 2), 7), last)
        targets = ids.gather(1, positions)
        return Masked(
            ids.scatter(1, positions, own.tokenizer.mask_id), positions, targets, torch.ones_like(targets).bool()
        )

    return masked
