"""One training run: config -> objects -> fit, test, summary."""

import logging
import os
import time
import warnings
from pathlib import Path
from typing import Any

import lightning
from omegaconf import DictConfig, OmegaConf

from maskwright.build import build
from maskwright.checks import check
from maskwright.machine import make_trainer
from maskwright.models import MaskedLMHead
from maskwright.parts import make_data, make_maskers, mask_parts
from maskwright.resuming import check_checkpoint, find_checkpoint
from maskwright.running import Result, Run


def train(cfg: DictConfig) -> Result:
    """Runs the experiment that a composed `conf/train.yaml` describes.

    Raises:
        UserError: the config, the data, the checkpoint or the device does not allow it.
        Interrupted: the run was stopped by Ctrl-C, after it wrote a checkpoint and its summary.
    """
    began = time.monotonic()
    _quiet()
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    check(config)
    checkpoint = find_checkpoint(config["ckpt_path"], Path(config["run_dir"]))
    lightning.seed_everything(config["seed"], verbose=False)
    parts = mask_parts(config)
    schedule = build(config["schedule"], "schedule")

    data = make_data(config, parts)
    data.prepare_data()
    data.setup()
    tokenizer = data.tokenizer
    encoder = build(config["model"], "model", vocabulary_size=len(tokenizer))
    shared = {key: config["model"][key] for key in ("norm_epsilon", "initial_std") if key in config["model"]}
    maskers = make_maskers(config, data)
    task = build(
        config["task"],
        "task",
        encoder=encoder,
        head=MaskedLMHead(encoder.embedding, **shared),
        masker=maskers["mask"],
        evaluation_masker=maskers["evaluation_mask"],
        optimizer=build(config["optimizer"], "optimizer"),
        schedule=schedule,
        seed=config["seed"],
        cross_document_attention=config["data"]["cross_document_attention"],
        hyperparameters={
            "config": config,
            "vocabulary": tokenizer.digest,
        },
    )
    changes = [] if checkpoint is None else check_checkpoint(checkpoint, task)
    if config["hardware"]["compile"]:
        task.encoder.compile(dynamic=None)  # in place: the names of its weights stay

    run_dir = Path(config["run_dir"])
    run_dir.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(config), run_dir / "config.yaml")
    tokenizer.save(run_dir / "tokenizer")
    _keep_metrics(run_dir)
    trainer = make_trainer(config, run_dir, data.tokens["train"].unigram_entropy)
    run = Run(config, run_dir, task, data, trainer, began, checkpoint)
    run.introduce(changes)
    return run.execute()


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
