"""One training run: config -> objects -> fit, test, summary."""

import hashlib
import logging
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from omegaconf import DictConfig, OmegaConf
from torch import nn

from maskwright.build import build, verify
from maskwright.callbacks import FiniteLoss, Interrupt, LossCurve, Throughput, ValidateAtEnd
from maskwright.errors import Interrupted, UserError, is_disk_full
from maskwright.masking import Masker
from maskwright.models import MaskedLMHead
from maskwright.progress import console
from maskwright.reports import fills, summary
from maskwright.text.tokenizer import Tokenizer

EVALUATION_SEED = 0  # validation and test see the same masks whatever the seed of the run
_FILLS = 5
_TRAINER_GIVEN = (  # arguments of the trainer that are not for conf/train.yaml to set
    "accelerator devices precision accumulate_grad_batches max_epochs callbacks logger check_val_every_n_epoch "
    "num_sanity_val_steps use_distributed_sampler enable_progress_bar enable_model_summary "
    "enable_checkpointing default_root_dir"
).split()


@dataclass
class Result:
    """What a run leaves in memory.

    Attributes:
        metrics: the final ones by name, as in summary.json.
        objective: the metric that the config names as its objective; NaN where it was not reached.
    """

    metrics: dict[str, float]
    objective: float
    run_dir: Path
    task: LightningModule
    data: LightningDataModule
    trainer: Trainer


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
    parts = {name: _mask_parts(config[name], name) for name in ("mask", "evaluation_mask")}
    schedule = build(config["schedule"], "schedule")

    data = _data(config)
    data.prepare_data()
    data.setup()
    tokenizer = data.tokenizer
    encoder = build(config["model"], "model", vocabulary_size=len(tokenizer))
    maskers = {
        name: Masker(**parts[name], mask_id=tokenizer.mask_id, ordinary_ids=tokenizer.ordinary_ids, seed=seed)
        for name, seed in (("mask", config["seed"]), ("evaluation_mask", EVALUATION_SEED))
    }
    task = build(
        config["task"],
        "task",
        encoder=encoder,
        head=MaskedLMHead(encoder.embedding, config["model"]["norm_epsilon"], config["model"]["initial_std"]),
        masker=maskers["mask"],
        evaluation_masker=maskers["evaluation_mask"],
        optimizer=build(config["optimizer"], "optimizer"),
        schedule=schedule,
        seed=config["seed"],
        cross_document_attention=config["data"]["cross_document_attention"],
        hyperparameters={"model": config["model"], "vocabulary": vocabulary_digest(tokenizer), "config": config},
    )
    if checkpoint is not None:
        check_checkpoint(checkpoint, task)
    if config["hardware"]["compile"]:
        compile_in_place(task.encoder, task.head)

    run_dir = Path(config["run_dir"])
    run_dir.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(config), run_dir / "config.yaml")
    tokenizer.save(run_dir / "tokenizer")
    trainer = _trainer(config, run_dir, data.tokens["train"].unigram_entropy)
    run = Run(config, run_dir, task, data, trainer, began, checkpoint)
    run.introduce()
    return run.execute()


@dataclass
class Run:
    """The parts of a run that is about to begin."""

    config: dict[str, Any]
    run_dir: Path
    task: LightningModule
    data: LightningDataModule
    trainer: Trainer
    began: float  # by time.monotonic
    checkpoint: Path | None

    def introduce(self) -> None:
        """Prints what is about to be trained on what."""
        if not self.trainer.is_global_zero:
            return
        tokens = self.data.tokens
        out = console()
        for split, array in tokens.items():
            out.print(
                f"{split:>10}: {array.documents:,} documents, {array.count:,} tokens, "
                f"{len(self.data.blocks[split]):,} blocks"
            )
        out.print(f"{'baseline':>10}: unigram entropy {self._baseline():.4f} nats (guessing by frequency)")
        out.print(f"{'model':>10}: {parameters(self.task):,} parameters, {len(self.data.tokenizer):,} tokens")
        out.print(f"{'device':>10}: {self.trainer.strategy.root_device}, precision {self.trainer.precision}")
        if self.checkpoint is not None:
            out.print(f"{'resuming':>10}: {self.checkpoint}")

    def execute(self) -> Result:
        """Fits, tests and sums up; whatever ends the fit is recorded in summary.json."""
        metrics: dict[str, float] = {}
        try:
            ckpt_path = None if self.checkpoint is None else str(self.checkpoint)
            self.trainer.fit(self.task, datamodule=self.data, ckpt_path=ckpt_path, weights_only=True)
            metrics |= self._metrics()
            metrics |= self._test()
        except BaseException as error:
            status = "interrupted" if isinstance(error, (Interrupted, KeyboardInterrupt, SystemExit)) else "failed"
            self._summarise(status, metrics | self._metrics(), str(error))
            if is_disk_full(error):
                raise UserError(
                    f"No space left on the device of run_dir={self.run_dir}. Free some, or point "
                    "hydra.run.dir to another device. Checkpoints written before are whole."
                ) from error
            raise
        self._summarise("completed", metrics)
        self._report(metrics)
        objective = metrics.get(self.config["objective"], float("nan"))
        return Result(metrics, objective, self.run_dir, self.task, self.data, self.trainer)

    def _test(self) -> dict[str, float]:
        """Test metrics of the best checkpoint, or of the last weights where none was kept."""
        best = getattr(self.trainer.checkpoint_callback, "best_model_path", "") or None
        if best is not None:
            state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
            self.task.load_state_dict(state)
        [metrics] = self.trainer.test(self.task, datamodule=self.data, verbose=False)
        return {name: float(value) for name, value in metrics.items()}

    def _metrics(self) -> dict[str, float]:
        metrics = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        checkpoints = self.trainer.checkpoint_callback
        if checkpoints is not None and getattr(checkpoints, "best_model_score", None) is not None:
            metrics[f"best/{checkpoints.monitor}"] = float(checkpoints.best_model_score)  # type: ignore[attr-defined]
        return metrics

    def _baseline(self) -> float:
        return self.data.tokens["train"].unigram_entropy

    def _summarise(self, status: str, metrics: dict[str, float], error: str | None = None) -> None:
        if not self.trainer.is_global_zero:
            return
        speed = next((c for c in self.trainer.callbacks if isinstance(c, Throughput)), None)  # type: ignore[attr-defined]
        tokens = self.data.tokens
        step = self.trainer.global_step
        written = {
            "status": status,
            "error": error,
            "metrics": metrics,
            "unigram_entropy": self._baseline(),
            "counts": {
                "steps": step,
                "epochs": step * self.config["data"]["batch_size"] / len(self.data.blocks["train"]),
                "parameters": parameters(self.task),
                "vocabulary": len(self.data.tokenizer),
                "documents": {split: array.documents for split, array in tokens.items()},
                "tokens": {split: array.count for split, array in tokens.items()},
            },
            "seconds": {
                "preparation": self.data.seconds,
                "training": speed.seconds if speed else None,
                "total": time.monotonic() - self.began,
            },
            "tokens_per_second": speed.tokens_per_second if speed else None,
            "resumed_from": None if self.checkpoint is None else str(self.checkpoint),
        }
        summary.write(self.run_dir, written | summary.circumstances())

    def _report(self, metrics: dict[str, float]) -> None:
        if not self.trainer.is_global_zero:
            return
        out = console()
        out.print(
            f"\nTest: loss {metrics['test/loss']:.4f} nats, perplexity {metrics['test/perplexity']:.2f}, "
            f"masked accuracy {metrics['test/accuracy']:.2%}   "
            f"(baseline: unigram entropy {self._baseline():.4f} nats)"
        )
        documents = self.data.documents["test"]
        texts = (row["text"] for row in documents)
        each = -(-_FILLS // len(documents))
        filled = fills.fill(self.task, self.data.tokenizer, texts, _FILLS, each)
        if filled:
            out.print(fills.table(filled))
        out.print(f"Everything is in {self.run_dir}")


def check(config: dict[str, Any]) -> None:
    """Refuses combinations that cannot work, before any work is done.

    Raises:
        UserError: names the keys that do not go together.
    """
    data, hardware, model, trainer = (config[name] for name in ("data", "hardware", "model", "trainer"))
    verify(model, "model", ["vocabulary_size"])
    verify(config["optimizer"], "optimizer")
    for group in ("callbacks", "logger"):
        for name, node in config[group].items():
            if node is not None:
                verify(node, f"{group}.{name}")
    for path in (
        "data.block_size data.batch_size data.evaluation_batch_size hardware.accumulate "
        "trainer.val_check_interval trainer.log_every_n_steps model.layers model.hidden_size model.heads"
    ).split():
        group, key = path.split(".")
        value = config[group].get(key, 1)
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{path}={value!r} is not a whole number of at least 1.")
    if data["block_size"] < 3:
        raise UserError(f"data.block_size={data['block_size']} leaves no place between [CLS] and [SEP]; take 3 or more.")
    devices = hardware["devices"]
    pieces = hardware["accumulate"] * (devices if isinstance(devices, int) and devices > 0 else 1)
    if data["batch_size"] % pieces:
        raise UserError(
            f"data.batch_size={data['batch_size']} blocks cannot be shared evenly by hardware.devices={devices} "
            f"in hardware.accumulate={hardware['accumulate']} pieces each: it is no multiple of {pieces}."
        )
    heads, hidden_size = model.get("heads", 1), model.get("hidden_size", 2)
    if hidden_size % heads or hidden_size // heads % 2:
        raise UserError(
            f"model.heads={heads} do not divide model.hidden_size={hidden_size} into heads of an even size, "
            "which rotary positions need."
        )
    vocabulary_size = config["tokenizer"].get("vocabulary_size", 0)
    if data["id_type"] == "uint16" and vocabulary_size > 2**16:
        raise UserError(
            f"tokenizer.vocabulary_size={vocabulary_size} does not fit data.id_type=uint16, which numbers "
            "65,536 tokens. Set data.id_type=auto or uint32."
        )
    if trainer["max_steps"] is None or (trainer["max_steps"] < 1 and trainer["max_time"] is None):
        raise UserError(
            f"trainer.max_steps={trainer['max_steps']} and trainer.max_time=null leave the run without an end. "
            "Set trainer.max_steps=1000, or trainer.max_steps=-1 trainer.max_time=00:01:00:00."
        )
    if hardware["accelerator"] == "gpu" and not torch.cuda.is_available():
        raise UserError("hardware.accelerator=gpu, but no GPU is visible here. Use hardware=auto or hardware=cpu.")
    if devices != 1:
        raise UserError(f"hardware.devices={devices}: training on several devices is not there yet; set it to 1.")
    for key, instead in (
        ("accumulate_grad_batches", "hardware.accumulate"),
        ("max_epochs", "trainer.max_steps"),
        ("devices", "hardware.devices"),
        ("accelerator", "hardware.accelerator"),
        ("precision", "hardware.precision"),
    ):
        if key in trainer:
            raise UserError(f"trainer.{key} is set by {instead}; use that.")
    verify({"_target_": "lightning.Trainer", **trainer}, "trainer", _TRAINER_GIVEN)


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
    found = max(runs.glob("*/*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime, default=None)
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


def compile_in_place(*modules: nn.Module) -> None:
    """Compiles modules without wrapping them, so that the names of their weights stay."""
    for module in modules:
        module.compile(dynamic=None)


def parameters(module: nn.Module) -> int:
    """Number of weights, shared ones counted once."""
    return sum(parameter.numel() for parameter in module.parameters())


def _mask_parts(node: dict[str, Any], path: str) -> dict[str, Any]:
    """Units, weights, ratio and corruption of a masker; a ratio given as a number is a constant one."""
    node = dict(node)
    if not isinstance(node["ratio"], dict):
        node["ratio"] = {"_target_": "maskwright.masking.Constant", "value": node["ratio"]}
    return {part: build(node[part], f"{path}.{part}") for part in ("units", "weights", "ratio", "corruption")}


def _data(config: dict[str, Any]) -> Any:
    node, hardware = dict(config["data"]), config["hardware"]
    del node["cross_document_attention"]  # the task's concern
    return build(
        node,
        "data",
        tokenizer=build(config["tokenizer"], "tokenizer"),
        seed=config["seed"],
        accumulate=hardware["accumulate"],
        workers=hardware["workers"],
        preparation_workers=hardware["preparation_workers"],
    )


def _trainer(config: dict[str, Any], run_dir: Path, baseline: float) -> Trainer:
    hardware, settings = config["hardware"], dict(config["trainer"])
    _keep_metrics(run_dir)
    settings["val_check_interval"] *= hardware["accumulate"]  # Lightning counts micro-batches
    last = run_dir / "checkpoints" / "last.ckpt"
    callbacks: list[Callback] = [ValidateAtEnd(), FiniteLoss(last), Interrupt(last)]
    callbacks += _build_all(config["callbacks"], "callbacks")
    for callback in callbacks:
        if isinstance(callback, LossCurve):
            callback.baseline = baseline
    gpu = hardware["accelerator"] != "cpu" and torch.cuda.is_available()
    return build(
        {"_target_": "lightning.Trainer", **settings},
        "trainer",
        accelerator="cuda" if gpu else "cpu",
        devices=hardware["devices"],
        precision=precision(hardware["precision"], gpu),
        accumulate_grad_batches=hardware["accumulate"],
        max_epochs=-1,
        callbacks=callbacks,
        logger=_build_all(config["logger"], "logger"),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        default_root_dir=str(run_dir),
    )


def _build_all(nodes: dict[str, Any], group: str) -> list[Any]:
    return [build(node, f"{group}.{name}") for name, node in nodes.items() if node is not None]


def precision(choice: str, gpu: bool) -> str:
    """What `auto` means on this machine: bf16-mixed where a GPU computes in it, else 32-true."""
    if choice != "auto":
        return choice
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"


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
    warnings.filterwarnings("ignore", ".*The dirpath has changed from.*")  # a resumed run has its own directory
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
