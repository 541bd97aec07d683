"""Measures a training step on one and on two devices, by DDP and by FSDP2, and what the devices send each other.

    python scripts/benchmarks/scaling.py --source ../shared/data/wikimedia/wikipedia
    python scripts/benchmarks/scaling.py --accelerator gpu --size base --devices 8 --overrides data.batch_size=256

All kinds train the same batches in turns, each turn in a process of its own, so that ratios hold although the
speed of a machine drifts. On the CPU, the devices are processes that divide the cores among them: this shows what
sharing costs, not what more cores would gain. Bytes are those that went through the loopback device meanwhile,
which is all that the processes of one machine send each other by gloo; those of NCCL are not counted.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

ROOT = Path(__file__).resolve().parents[2]
KINDS = {  # the strategy, and whether there are several devices
    "one device": ("auto", False),
    "one device, DDP": ("ddp", False),
    "several, DDP": ("ddp", True),
    "several, FSDP2": ("fsdp", True),
}
WARM_UP = 3  # steps


class Meter(Callback):
    """Writes the seconds and the sent bytes of each step, from the beginning of one to that of the next.

    Args:
        path: a JSON file, which the first device writes.
    """

    def __init__(self, path: str):
        self.path = Path(path)
        self.seen: list[tuple[float, int]] = []  # when steps began, and the bytes sent until then

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if pl_module.device.type == "cuda":
            import torch

            torch.cuda.synchronize()
        self.seen.append((time.perf_counter(), _sent()))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            steps = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(self.seen, self.seen[1:], strict=False)]
            size = sum(parameter.numel() for parameter in pl_module.parameters())
            self.path.write_text(json.dumps({"steps": steps, "parameters": size}))


def _sent() -> int:
    """Returns the bytes that went through the loopback device; 0 on systems that do not say."""
    try:
        [line] = [line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:")]
    except OSError:
        return 0
    return int(line.split(":")[1].split()[8])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="data.source; by default that of the default run")
    parser.add_argument("--limit", type=int, default=500, help="only this many documents")
    parser.add_argument("--cache", help="folder for the prepared corpus; by default a temporary one")
    parser.add_argument("--size", default="mini", help="model/size")
    parser.add_argument("--accelerator", default="cpu", choices=("cpu", "gpu"))
    parser.add_argument("--devices", type=int, default=2, help="how many several are")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--steps", type=int, default=10, help="steps of a turn that are timed")
    parser.add_argument("--repeat", type=int, default=3, help="turns")
    parser.add_argument("--overrides", nargs="*", default=[], help="other settings of all runs")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # a kind, in this process
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments)))
        return
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in arguments.kinds}
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(arguments.repeat):
            for kind, turns in found.items():
                turns.append(_in_a_process(kind, arguments, arguments.cache or cache))
    figures = summary(found)
    print(table(figures))
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=2))


def _in_a_process(kind: str, arguments: argparse.Namespace, cache: str) -> dict[str, Any]:
    devices = arguments.devices if KINDS[kind][1] else 1
    threads = max(len(os.sched_getaffinity(0)) // devices, 1)
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", kind, "--cache", cache]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the median `seconds` and `bytes` of a step, and the number of `parameters`."""
    from hydra import compose, initialize_config_dir

    from maskwright.run import trainer
    from maskwright.run.strategies import DataParallel
    from maskwright.run.train import train

    strategy, several = KINDS[kind]
    if strategy == "ddp" and not several:  # which a run on one device does without
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            os.environ["MASTER_PORT"] = str(found.getsockname()[1])
        trainer.make_strategy = lambda hardware: DataParallel(broadcast_buffers=False)
    with tempfile.TemporaryDirectory() as run_dir:
        path = Path(run_dir, "steps.json")
        overrides = [
            f"model/size={arguments.size}",
            "data.block_size=128",
            "data.batch_size=16",
            f"data.limit={arguments.limit}",
            *([f"data.source={arguments.source}"] if arguments.source else []),
            *([f"data.cache_dir={arguments.cache}"] if arguments.cache else []),
            f"hardware.accelerator={arguments.accelerator}",
            f"hardware.devices={arguments.devices if several else 1}",
            f"hardware.strategy={strategy}",
            f"trainer.max_steps={arguments.steps + WARM_UP + 1}",
            "trainer.val_check_interval=1000000",
            "data.evaluation_limit=4",
            "callbacks=none",
            "logger=none",
            f"+callbacks.meter={{_target_: scaling.Meter, path: '{path}'}}",
            f"run_dir={run_dir}",
            *arguments.overrides,
        ]
        sys.path.insert(0, str(Path(__file__).parent))  # also for the other processes
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            cfg = compose("train", overrides)
        train(cfg)
        read = json.loads(path.read_text())
    seconds, sent = zip(*read["steps"][WARM_UP:], strict=True)
    return {
        "seconds": statistics.median(seconds),
        "bytes": statistics.median(sent),
        "parameters": read["parameters"],
    }


def summary(found: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Returns for each kind the medians of its turns, and its time as a multiple of that of the first kind."""
    first = next(iter(found.values()))
    return {
        kind: {
            "milliseconds": 1000 * statistics.median(turn["seconds"] for turn in turns),
            "times": statistics.median(
                turn["seconds"] / other["seconds"] for turn, other in zip(turns, first, strict=True)
            ),
            "megabytes": statistics.median(turn["bytes"] for turn in turns) / 1e6,
            "bytes a parameter": statistics.median(turn["bytes"] / turn["parameters"] for turn in turns),
        }
        for kind, turns in found.items()
    }


def table(figures: dict[str, dict[str, float]]) -> str:
    """Returns the figures as a Markdown table."""
    lines = ["| | ms a step | times the first | MB sent a step | bytes a parameter |", "|---|---|---|---|---|"]
    for kind, row in figures.items():
        lines.append(
            f"| {kind} | {row['milliseconds']:.0f} | {row['times']:.2f} | {row['megabytes']:.1f} | "
            f"{row['bytes a parameter']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
