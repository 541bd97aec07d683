"""One training run: config -> objects -> fit, test, summary."""

import os
import time
from pathlib import Path
from typing import Any

import lightning
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from maskwright.data.corpus import Corpus
from maskwright.models.pretrained.load import Pretrained
from maskwright.run.assemble import make_data, make_task, mask_parts
from maskwright.run.checkpoints import check_checkpoint, find_checkpoint
from maskwright.run.init_from import start
from maskwright.run.lifecycle import Result, Run
from maskwright.run.trainer import make_trainer, quiet
from maskwright.settings.build import build
from maskwright.settings.checks import check, check_names


def train(cfg: DictConfig) -> Result:
    """Runs the experiment that a composed `conf/train.yaml` describes.

    Raises:
        UserError: the config, the data, the checkpoint or the device does not allow it.
        Interrupted: the run was stopped by Ctrl-C, after it wrote a checkpoint and its summary.
    """
    began = time.monotonic()
    quiet()
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    overrides = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []
    beginning = start(config, overrides)
    check(config)
    checkpoint = find_checkpoint(config["ckpt_path"], Path(config["run_dir"]))
    lightning.seed_everything(config["seed"], verbose=False)
    parts = mask_parts(config)
    for path, node in (("schedule", config["schedule"]), ("task.finetuning", config["task"].get("finetuning"))):
        if node is not None:
            build(node, path)  # refuses what is impossible before any work is done
    data = make_data(config, parts)
    data.prepare_data()
    data.setup()
    check_names(config, getattr(data, "names", []), tags=getattr(data, "target", None) == "tags")
    _count_steps(config["trainer"], data)
    task = make_task(config, data)
    changes = [] if checkpoint is None else check_checkpoint(checkpoint, task)
    if beginning is not None and checkpoint is None:
        changes = beginning.load(task, data.tokenizer.digest)
    if config["hardware"]["compile"]:
        task.encoder.compile(dynamic=None)  # in place: the names of its weights stay

    run_dir = Path(config["run_dir"])
    run_dir.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(config), run_dir / "config.yaml")
    data.tokenizer.save(run_dir / "tokenizer")
    if isinstance(task.encoder, Pretrained):
        task.encoder.save_architecture(run_dir)
    _keep_metrics(run_dir)
    trainer = make_trainer(config, run_dir, data.baseline)
    run = Run(config, run_dir, task, data, trainer, began, checkpoint)
    run.introduce(changes)
    return run.execute()


def _count_steps(trainer: dict[str, Any], data: Corpus) -> None:
    """Makes `max_steps` of `max_epochs`; a run ends at what comes first."""
    if (epochs := trainer["max_epochs"]) is not None:
        steps = data.steps(epochs)
        trainer["max_steps"] = min(steps, trainer["max_steps"]) if trainer["max_steps"] > 0 else steps


def _keep_metrics(run_dir: Path) -> None:
    """Moves the metrics of an earlier run in the same directory aside; the CSV logger would delete them."""
    metrics = run_dir / "metrics.csv"
    if metrics.exists():
        number = 1
        while (aside := run_dir / f"metrics-{number}.csv").exists():
            number += 1
        os.replace(metrics, aside)
