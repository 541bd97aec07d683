"""The contestants of `race.py` and `benchmarks/training.py`: the same tokens, each in a process of its own.

A contestant is trained by the loop that its users run: the peers by the `Trainer` of transformers with
`DataCollatorForLanguageModeling` (`peers.py`), `ours` by `maskwright.run.train.train`. Each starts in a fresh
process (`Contestant`) and prints a line of JSON after every step. With `in_turns`, it waits for a line on its
standard input before the next step, so that steps of several contestants can be timed in turns.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

from lightning import Callback

from maskwright.core.atomic import write_file

ROOT = Path(__file__).resolve().parents[2]
PEERS = ("bert", "modernbert", "modernbert-muon")


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a contestant trains, on what, and for how long.

    Attributes:
        name: one of `PEERS`, or `ours`.
        data: overrides of `conf/train.yaml` for corpus, cache, tokenizer and block size.
        steps: the steps of the whole run, which schedules depend on.
        rows: blocks per step.
        size: `model/size` of ours, which also determines the shape of the peers.
        lr: the learning rate of a peer: of AdamW, or of Muon for the matrices of `modernbert-muon`.
        adamw_lr: the learning rate of AdamW for the other parameters of `modernbert-muon`.
        mask_ratio: the share of the tokens that peers mask.
        weight_decay, beta2: of the optimizer of peers.
        counts: whether counts of both neighbours are added to the logits of a peer, as they are to those of ours.
        seed: of weights, order and masks.
        experiment: of ours, with its own model, mask and batch size; None trains the default run.
        overrides: of `conf/train.yaml`, for ours.
        evaluate_at: steps after which the validation loss is computed.
        in_turns: whether each step waits for a line on standard input.
        environment: `NAME=value` for its process.
        save: a folder for the trained model: in the hub's layout of a peer, a run directory of ours.
        unfinished: a folder for the checkpoints of a peer, from which a run that was stopped goes on.
    """

    name: str
    data: tuple[str, ...]
    steps: int
    rows: int = 32
    size: str = "mini"
    lr: float = 1e-3
    adamw_lr: float = 4e-3
    mask_ratio: float = 0.15
    weight_decay: float = 0.01
    beta2: float = 0.98
    counts: bool = False
    seed: int = 1
    experiment: str | None = None
    overrides: tuple[str, ...] = ()
    evaluate_at: tuple[int, ...] = ()
    in_turns: bool = False
    environment: tuple[str, ...] = ()
    device: str = "cpu"
    compile: bool = False
    save: str | None = None
    unfinished: str | None = None

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "Spec":
        """Returns the one whose fields JSON holds."""
        own: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in fields.items()}
        return cls(**own)


def add_corpus(parser: argparse.ArgumentParser) -> None:
    """Adds the options for the corpus that contestants train on."""
    parser.add_argument("--source", help="data.source; by default that of the default run")
    parser.add_argument("--limit", type=int, help="only this many documents")
    parser.add_argument("--cache", default="~/.cache/maskwright", help="folder for prepared corpora")


def corpus(arguments: argparse.Namespace) -> tuple[str, ...]:
    """Returns those options as overrides of `conf/train.yaml`, with a validation on 512 blocks."""
    return (
        *([f"data.source={arguments.source}"] if arguments.source else []),
        *([f"data.limit={arguments.limit}"] if arguments.limit else []),
        f"data.cache_dir={Path(arguments.cache).expanduser()}",
        "data.evaluation_limit=512",
    )


class Laps:
    """Reports the time of each step, without evaluation, and the loss after it to the parent process.

    Attributes:
        points: the losses of a run that goes on; they are in its folder before a checkpoint of the same step is.
    """

    def __init__(self, spec: Spec, evaluate: Callable[[], float], flops: Callable[[], int]):
        self.spec, self.evaluate, self.flops = spec, evaluate, flops
        self.began = self.clock = 0.0
        self.points: list[dict[str, Any]] = []

    def start(self) -> None:
        self._wait()
        self.began = time.perf_counter()

    def stop(self, step: int) -> None:
        if self.spec.device == "cuda":
            import torch

            torch.cuda.synchronize()
        seconds = time.perf_counter() - self.began
        self.clock += seconds
        said: dict[str, Any] = {"step": step, "seconds": seconds, "clock": self.clock}
        said |= {"flops": self.flops(), "peak": peak_memory(self.spec)}
        if step in self.spec.evaluate_at:
            said["loss"] = self.evaluate()
            self.points.append({key: said[key] for key in ("step", "loss", "clock")})
            if self.spec.unfinished is not None:
                path, text = self._kept(), json.dumps(self.points)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_file(path, lambda temporary: temporary.write_text(text))
        say(said)
        if step < self.spec.steps:
            self.start()

    def go_on(self, begin: int) -> None:
        """Reads the losses until after so many steps."""
        path = self._kept()
        known = json.loads(path.read_text()) if path.exists() else []
        self.points = [point for point in known if point["step"] <= begin]
        self.clock = self.points[-1]["clock"] if self.points else 0.0

    def _kept(self) -> Path:
        return Path(str(self.spec.unfinished)) / "points.json"

    def _wait(self) -> None:
        if self.spec.in_turns and not sys.stdin.readline():
            os._exit(0)  # the parent has seen enough


def say(what: dict[str, Any]) -> None:
    print("\n@" + json.dumps(what), flush=True)


class Contestant:
    """A contestant in a process of its own.

    Attributes:
        model: what it reported about its model: its number of `parameters`, the peak memory `before` building, and
            the seconds of `counting` neighbours before the first step, where they are counted.
        points: its losses before it was stopped, if it goes on.
    """

    def __init__(self, spec: Spec):
        self.spec = spec
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(dataclasses.asdict(spec))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=os.environ | dict(pair.split("=", 1) for pair in spec.environment),
        )
        self.model = self._hear()
        self.points: list[dict[str, Any]] = self.model.pop("points", [])

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@"):
                return json.loads(line[1:])
        self.process.wait()
        self._fail()

    def _fail(self) -> NoReturn:
        self.log.seek(0)
        raise SystemExit(f"{self.spec.name} stopped:\n{self.log.read()[-4000:]}")

    def step(self) -> dict[str, Any]:
        """Lets the contestant take a step, and returns what it reports."""
        if self.spec.in_turns:
            assert self.process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # its last output says more about why it stopped
                self.process.stdin.write("go\n")
                self.process.stdin.flush()
        return self._hear()

    def finish(self) -> None:
        """Waits until the contestant has ended by itself, after its last step.

        Raises:
            SystemExit: it failed.
        """
        assert self.process.stdout is not None
        for _ in self.process.stdout:
            pass
        if self.process.wait():
            self._fail()

    def close(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()


def start(specs: dict[str, Spec]) -> dict[str, Contestant]:
    """Starts contestants, two at a time, because until the first step they mostly import modules."""
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(specs, pool.map(Contestant, specs.values()), strict=True))


# the rest runs in the process of a contestant


def config_of(spec: Spec, *more: str) -> Any:
    """Returns the composed `conf/train.yaml` of a run without logs."""
    from hydra import compose, initialize_config_dir

    if spec.experiment is None:
        chosen = [f"model/size={spec.size}", "mask=token", f"data.batch_size={spec.rows}"]
    else:
        chosen = [f"experiment={spec.experiment}"]
    overrides = [
        *chosen,
        *spec.data,
        "callbacks=none",
        "logger=csv",
        f"seed={spec.seed}",
        f"trainer.max_steps={spec.steps}",
        f"trainer.val_check_interval={spec.steps + 1}",
        f"hardware={'gpu' if spec.device == 'cuda' else 'cpu'}",
        *more,
    ]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", overrides)


def open_data(spec: Spec) -> tuple[Any, Any]:
    """Returns the data module and the validation masker, which all contestants share."""
    from omegaconf import OmegaConf

    from maskwright.run.assemble import make_maskers, prepare, vocabulary_of
    from maskwright.settings.commands import TrainSettings

    settings = TrainSettings.parse(OmegaConf.to_container(config_of(spec, "run_dir=none"), resolve=True))
    data, masks = prepare(settings)
    return data, make_maskers(settings, masks, vocabulary_of(data.tokenizer, data))["evaluation_mask"]


def mean_loss(batches: Any, masker: Any, logits_at: Callable[[Any, Any], Any]) -> float:
    """Returns the cross-entropy in nats of the masked tokens of `batches`."""
    import torch
    import torch.nn.functional as F

    total, count = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            masked = masker(batch)
            logits = logits_at(batch, masked)[masked.valid]
            targets = masked.targets[masked.valid]
            total += float(F.cross_entropy(logits.float(), targets, reduction="sum"))
            count += len(targets)
    return total / count


class OurLaps(Callback):
    """`Laps` for Lightning's trainer."""

    spec: Spec

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        validation = list(trainer.datamodule.val_dataloader()) if self.spec.evaluate_at else []

        def evaluate() -> float:
            pl_module.eval()
            model = getattr(pl_module, "averaged_model", pl_module)
            loss = mean_loss(validation, pl_module.evaluation_masker, model)
            pl_module.train()
            return loss

        parameters = sum(p.numel() for p in pl_module.parameters())
        say({"parameters": parameters, "before": peak_memory(self.spec), "counting": pl_module.counting})
        self.laps = Laps(self.spec, evaluate, pl_module.training_flops)
        self.laps.start()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.laps.stop(trainer.global_step)


def run_ours(spec: Spec) -> None:
    from omegaconf import open_dict

    from maskwright.run.train import train

    OurLaps.spec = spec
    with tempfile.TemporaryDirectory() as temporary:
        kept = [f"run_dir={temporary}"] if spec.save is None else [f"run_dir={spec.save}", "callbacks=default"]
        config = config_of(spec, *spec.overrides, *kept)
        with open_dict(config):
            config.callbacks.laps = {"_target_": "contestants.OurLaps"}
        train(config)


def peak_memory(spec: Spec) -> float:
    """Returns the peak memory in MiB, of the device if it is a GPU, else of this process."""
    import resource

    import torch

    if spec.device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    import contestants  # instead of __main__, whose classes a config could not name

    spec = contestants.Spec.of(json.loads(sys.argv[1]))
    warnings.filterwarnings("ignore")
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    if spec.name == "ours":
        contestants.run_ours(spec)
    else:
        import peers

        peers.run_peer(spec)


if __name__ == "__main__":
    main()
