"""A finished run, evaluated on any data that it can read."""

import inspect
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from maskwright.core.atomic import write_file
from maskwright.core.errors import UserError, nearest
from maskwright.core.terminal import console
from maskwright.corpora.documents import SPLITS as ALL_SPLITS
from maskwright.corpora.documents import documents_of
from maskwright.corpora.source import Source
from maskwright.data.corpus import Corpus
from maskwright.data.labelled import LabelledData
from maskwright.models.pretrained.load import saved_architecture
from maskwright.reports import labelled
from maskwright.reports.summary import plain
from maskwright.run.assemble import make_data, make_task, mask_parts
from maskwright.run.checkpoints import read_checkpoint
from maskwright.run.trainer import make_trainer, quiet
from maskwright.settings.checks import check_keys
from maskwright.tasks import Regression
from maskwright.tasks.task import MASKERS

KEYS = "run checkpoint split data hardware output".split()
SPLITS = ("validation", "test")


def evaluate(cfg: DictConfig) -> dict[str, float]:
    """Evaluates what a composed `conf/evaluate.yaml` describes; returns the metrics by name.

    Writes `metrics.json`, and what `reports.labelled` does, into the folder `output`.

    Raises:
        UserError: there is no such run or split, or the data does not fit the run.
    """
    quiet()
    overrides = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []
    asked: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    check_keys(asked, KEYS)
    split = asked["split"]
    if split not in SPLITS:
        raise UserError(f"split='{split}' is none that is evaluated.{nearest(str(split), SPLITS)} Take {SPLITS}.")
    if (
        asked["hardware"]["devices"] != 1
        and HydraConfig.initialized()
        and HydraConfig.get().mode == RunMode.MULTIRUN
    ):
        raise UserError(
            "-m with hardware.devices: the processes of the other devices would begin sweeps of their own. "
            "Evaluate run after run, or on one device."
        )
    run = Path(asked["run"]).expanduser()
    path = run / "checkpoints" / f"{asked['checkpoint']}.ckpt"
    if not path.is_file():
        raise UserError(f"run='{run}' has no checkpoint {path}. Name the directory of a run that wrote one.")
    saved = read_checkpoint(path, "run")
    known, state = saved["hyper_parameters"], saved["state_dict"]
    config = known["config"]
    config |= {"hardware": asked["hardware"], "callbacks": {}, "logger": {}, "run_dir": str(run)}
    config["model"] = saved_architecture(config["model"], run)
    own = config["data"]
    config["data"] = _data(own, asked["data"], split, overrides)
    if known.get("labels"):
        config["data"]["labels"] = known["labels"]
    tokenizer = run / "tokenizer"
    config["tokenizer"] = {"_target_": "maskwright.text.tokenizer.Pretrained", "name": str(tokenizer)}

    data = make_data(config, mask_parts(config))
    data.prepare_data()
    data.setup()
    for remark in Corpus.remarks(data):  # what else is told of a corpus is for those who learn from it
        console().print(f"note: {remark}")
    if data.tokenizer.digest != known["vocabulary"]:
        raise UserError(f"run: the tokenizer in {tokenizer} is another than that of {path}.")
    task = make_task(config, data)
    if isinstance(task, Regression):
        task.set_units(known["values"])
    weights = {name: weight for name, weight in state.items() if not name.startswith(MASKERS)}
    found = task.load_state_dict(weights, strict=False)
    if missing := [name for name in found.missing_keys if not name.startswith(MASKERS)] + found.unexpected_keys:
        raise UserError(f"run: {path} does not hold what its model has now: {', '.join(missing[:5])}.")
    trainer = make_trainer(config, run, data.baseline)
    console().print(f"{split}: {data.size(split)}")
    test = trainer.validate if split == "validation" else trainer.test
    [metrics] = test(task, datamodule=data, verbose=False)
    metrics = {name: float(value) for name, value in metrics.items()}
    if not trainer.is_global_zero:
        return metrics

    output = Path(asked["output"] or run / "evaluations" / _folder(split, config["data"], own)).expanduser()
    output.mkdir(parents=True, exist_ok=True)
    if isinstance(data, LabelledData):
        labelled.report(task, data, split, metrics, output)  # type: ignore[arg-type]
    else:
        told = ", ".join(f"{name} {metrics[f'{split}/{name}']:.4f}" for name in task.metrics)
        console().print(f"\n{split.capitalize()}: {told}")
    sources = ", ".join(source.source for source in data.recipe.sources)
    text = json.dumps(plain({"data": sources, "checkpoint": str(path), "metrics": metrics}), indent=2)
    write_file(output / "metrics.json", lambda temporary: temporary.write_text(text + "\n"))
    console().print(f"Everything is in {output}")
    return metrics


def _data(own: dict[str, Any], asked: dict[str, Any], split: str, overrides: list[str]) -> dict[str, Any]:
    """The data of a run, or other data cut into batches as that of the run is.

    Of other data its own split of that name is evaluated, or, where it has none, all that would be trained on; but
    of the run's own source no more than falls to the split.
    """
    if "cleaning" in asked or "parts" in asked:  # an option of data was chosen
        of_source = {"parts", *inspect.signature(documents_of).parameters}
        data = {key: value for key, value in own.items() if key not in of_source} | asked
    else:
        data = own | {key: value for key, value in asked.items() if value is not None}
    splits = data.get("splits") or {}
    chosen = any(override.startswith("data.splits") for override in overrides)
    if data.get("parts") is not None or chosen:
        return data
    places, own_places = _places(data), _places(own)
    if places == own_places:
        return data | {"splits": own.get("splits", splits)}
    held = Source(data["source"], data.get("config"), "text", "row", data.get("tags")).splits()
    if taken := _first_held(held, splits.get(split), split):
        return data | {"splits": dict.fromkeys(ALL_SPLITS, taken)}
    if not held or places & own_places:
        return data
    taken = _first_held(held, splits.get("train")) or "train"
    whole = "all of it" if held == {taken} else f"all of its split {taken}"
    console().print(f"note: data.source='{data['source']}' has no split {split} of its own; {whole} is evaluated")
    return data | {"splits": dict.fromkeys(ALL_SPLITS, taken), "published": None}


def _first_held(held: set[str], *names: str | float | None) -> str | None:
    """The first of the names of splits, joined by `+`, that a source which holds some has."""
    return next((name for name in names if isinstance(name, str) and held.issuperset(name.split("+"))), None)


def _places(data: dict[str, Any]) -> set[tuple[str, str | None]]:
    """Where the texts of a corpus come from: files, or names on the hub, and which configuration of them; nothing
    of what is no longer there."""
    found = set()
    for part in [data] if data.get("parts") is None else data["parts"].values():
        source = Source(part["source"], None, "text", "row", part.get("tags"))
        with suppress(UserError):
            names = {str(path.resolve()) for path in source.find()[1]} or {source.source}
            found |= {(name, part.get("config")) for name in names}
    return found


def _folder(split: str, data: dict[str, Any], own: dict[str, Any]) -> str:
    """The name of the folder for what is found on a split: others for other data."""
    if _places(data) == _places(own):
        return split
    sources = [part["source"] for part in ([data] if data.get("parts") is None else data["parts"].values())]
    return "-".join([split, *(re.sub(r"[^\w.-]+", "-", source).strip("-")[-60:] for source in sources)])
