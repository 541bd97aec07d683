"""A finished run, evaluated on any data that it can read."""

import json
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from maskwright.checks import check_keys
from maskwright.data.labelled import LabelledData
from maskwright.errors import UserError, nearest
from maskwright.machine import make_trainer, quiet
from maskwright.parts import make_data, make_task, mask_parts
from maskwright.progress import console
from maskwright.reports import labelled
from maskwright.resuming import read_checkpoint
from maskwright.tasks import Regression
from maskwright.tasks.task import MASKERS
from maskwright.text.cache import write_file

KEYS = "run checkpoint split data hardware output".split()
SPLITS = ("validation", "test")


def evaluate(cfg: DictConfig) -> dict[str, float]:
    """Evaluates what a composed `conf/evaluate.yaml` describes; returns the metrics by name.

    Writes `metrics.json`, and what `reports.labelled` does, into the folder `output`.

    Raises:
        UserError: there is no such run or split, or the data does not fit the run.
    """
    quiet()
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
    config["data"] = _data(config["data"], asked["data"])
    if known.get("labels"):
        config["data"]["labels"] = known["labels"]
    tokenizer = run / "tokenizer"
    config["tokenizer"] = {"_target_": "maskwright.text.tokenizer.Pretrained", "name": str(tokenizer)}

    data = make_data(config, mask_parts(config))
    data.prepare_data()
    data.setup()
    if data.tokenizer.digest != known["vocabulary"]:
        raise UserError(f"run: the tokenizer in {tokenizer} is another than that of {path}.")
    task = make_task(config, data)
    if isinstance(task, Regression):
        task.mean, task.deviation = known["values"]
    task.load_state_dict(
        {name: weight for name, weight in state.items() if not name.startswith(MASKERS)}, strict=False
    )
    trainer = make_trainer(config, run, data.baseline)
    test = trainer.validate if split == "validation" else trainer.test
    [metrics] = test(task, datamodule=data, verbose=False)
    metrics = {name: float(value) for name, value in metrics.items()}
    if not trainer.is_global_zero:
        return metrics

    output = Path(asked["output"] or run / "evaluations" / split).expanduser()
    output.mkdir(parents=True, exist_ok=True)
    if isinstance(data, LabelledData):
        labelled.report(task, data, split, metrics, output)  # type: ignore[arg-type]
    else:
        told = ", ".join(f"{name} {metrics[f'{split}/{name}']:.4f}" for name in task.metrics)
        console().print(f"\n{split.capitalize()}: {told}")
    sources = ", ".join(source.source for source in data.recipe.sources)
    text = json.dumps({"data": sources, "checkpoint": str(path), "metrics": metrics}, indent=2)
    write_file(output / "metrics.json", lambda temporary: temporary.write_text(text + "\n"))
    console().print(f"Everything is in {output}")
    return metrics


def _data(own: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """The data of a run, or other data cut into batches as that of the run is."""
    if "cleaning" not in asked:  # no option of data was chosen
        return own | {key: value for key, value in asked.items() if value is not None}
    return {key: value for key, value in own.items() if key not in asked} | asked
