"""One training run: config -> objects -> fit, test, summary."""

import logging
import os
import time
import warnings
from pathlib import Path
from typing import Any

import lightning
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from maskwright.build import build, find_target, parameters
from maskwright.checks import check
from maskwright.data.corpus import Corpus
from maskwright.machine import make_trainer
from maskwright.models.pretrained import masked_lm_head
from maskwright.parts import make_data, make_maskers, mask_parts
from maskwright.resuming import check_checkpoint, find_checkpoint
from maskwright.running import Result, Run
from maskwright.starting import start


def train(cfg: DictConfig) -> Result:
    """Runs the experiment that a composed `conf/train.yaml` describes.

    Raises:
        UserError: the config, the data, the checkpoint or the device does not allow it.
        Interrupted: the run was stopped by Ctrl-C, after it wrote a checkpoint and its summary.
    """
    began = time.monotonic()
    _quiet()
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    overrides = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []
    beginning = start(config, overrides)
    check(config)
    checkpoint = find_checkpoint(config["ckpt_path"], Path(config["run_dir"]))
    lightning.seed_everything(config["seed"], verbose=False)
    parts = mask_parts(config)
    schedule = build(config["schedule"], "schedule")

    target = find_target(config["task"], "task").target
    data = make_data(config, parts, target)
    data.prepare_data()
    data.setup()
    _count_steps(config["trainer"], data)
    tokenizer = data.tokenizer
    encoder = build(config["model"], "model", vocabulary_size=len(tokenizer))
    maskers = make_maskers(config, data)
    labelled: Any = data  # where the task has a target
    takes, _ = parameters(find_target(config["task"], "task"))
    offered = {
        "encoder": lambda: encoder,
        "head": lambda: masked_lm_head(encoder, **_of(config["model"], "norm_epsilon", "initial_std")),
        "masker": lambda: maskers["mask"],
        "evaluation_masker": lambda: maskers["evaluation_mask"],
        "names": lambda: labelled.names,
        "class_counts": lambda: labelled.counts.tolist(),
        "values": lambda: labelled.values,
        "optimizer": lambda: build(config["optimizer"], "optimizer"),
        "schedule": lambda: schedule,
        "seed": lambda: config["seed"],
        "cross_document_attention": lambda: config["data"].get("cross_document_attention", True),
        "hyperparameters": lambda: {"config": config, "vocabulary": tokenizer.digest},
    }
    task = build(config["task"], "task", **{name: make() for name, make in offered.items() if name in takes})
    changes = [] if checkpoint is None else check_checkpoint(checkpoint, task)
    if beginning is not None and checkpoint is None:
        changes = beginning.load(task, tokenizer.digest)
    if config["hardware"]["compile"]:
        task.encoder.compile(dynamic=None)  # in place: the names of its weights stay

    run_dir = Path(config["run_dir"])
    run_dir.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(config), run_dir / "config.yaml")
    tokenizer.save(run_dir / "tokenizer")
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


def _of(node: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: node[key] for key in keys if key in node}


def _keep_metrics(run_dir: Path) -> None:
    """Moves the metrics of an earlier run in the same directory aside; the CSV logger would delete them."""
    metrics = run_dir / "metrics.csv"
    if metrics.exists():
        number = 1
        while (aside := run_dir / f"metrics-{number}.csv").exists():
            number += 1
        os.replace(metrics, aside)


def _quiet() -> None:
    """Keeps what Lightning says about itself off the terminal; what it warns of stays."""
    for name in ("lightning.pytorch", "lightning.fabric", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # the loaders read memory-mapped blocks in microseconds; more workers would only cost
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*Experiment logs directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")  # Lightning 2.6 under torch 2.13
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
