"""Measures the cost of a training step, compared with the peers and with the limit of the machine.

    python scripts/benchmarks/training.py --source ../shared/data/wikimedia/wikipedia

Every contestant (see `race/contestants.py`) trains in a process of its own, with the loop that its users run,
without dropout, with AdamW and a mask ratio of 0.15. Their steps are timed in turns, and so is a matrix product,
which is the limit of the machine. Utilization is the rate of a model's matrix products relative to that limit. A
step has 4,096 tokens. Medians are printed; memory is the peak of the whole process, or of the GPU.
"""

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "race"))
from contestants import Spec, start

TOKENS = 4096  # of a step
DENSE_BF16 = {"H100": 989.4e12, "H200": 989.4e12, "A100": 312e12}  # FLOP/s in the data sheets
MINI: dict[str, Any] = {"size": "mini", "vocabulary": 8192, "length": 128}
GROWTH: dict[str, list[dict[str, Any]]] = {
    "blocks of 128 in a step": [{"rows": rows} for rows in (4, 8, 16, 32, 64, 128)],
    "block size, in steps of 4,096 tokens": [{"length": length} for length in (64, 128, 256, 512, 1024)],
    "vocabulary": [{"vocabulary": size} for size in (2048, 4096, 8192, 16384, 30522)],
    "layers": [{"overrides": (f"model.layers={layers}",)} for layers in (2, 4, 8, 12)],
    "layers that read mask tokens": [{"overrides": (f"model.late_masks={late}",)} for late in (0, 3, 2, 1)],
    "layers that read mask tokens, half of which are masked": [
        {"overrides": (f"model.late_masks={late}", "mask.ratio=0.5")} for late in (0, 3, 2, 1)
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="data.source; by default that of the default run")
    parser.add_argument("--limit", type=int, default=1000, help="only this many documents")
    parser.add_argument("--cache", help="folder for prepared corpora; by default a temporary one")
    parser.add_argument("--sizes", nargs="*", default=["tiny", "mini", "small"])
    parser.add_argument("--vocabularies", nargs="*", type=int, default=[8192, 30522])
    parser.add_argument("--lengths", nargs="*", type=int, default=[128, 512])
    parser.add_argument("--contestants", nargs="*", default=["ours", "bert", "modernbert"])
    parser.add_argument("--growth", nargs="*", default=list(GROWTH), choices=GROWTH, help="what is varied for mini")
    parser.add_argument("--repeat", type=int, default=9, help="steps of each that are timed")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--tokens", type=int, default=TOKENS, help="positions of a step")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()

    import torch

    from maskwright.core.device import device_name

    device = device_name(arguments.device)
    figures: dict[str, Any] = {
        "device": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "steps": [],
        "growth": {},
    }
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(arguments, arguments.cache or temporary, device)
        for size in arguments.sizes:
            for vocabulary in arguments.vocabularies:
                for length in arguments.lengths:
                    row = {"size": size, "vocabulary": vocabulary, "length": length}
                    row |= bench.compare(arguments.contestants, **row)
                    figures["steps"].append(row)
                    print(json.dumps(row), flush=True)
        for name in arguments.growth:
            figures["growth"][name] = []
            for change in GROWTH[name]:
                found = bench.compare(["ours"], **(MINI | change))
                row = {**change, "tokens_per_second": found["ours"]["tokens_per_second"]}
                figures["growth"][name].append(row)
                print(name, json.dumps(row), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=2))


@dataclasses.dataclass
class Bench:
    """What all measurements share."""

    arguments: argparse.Namespace
    cache: str
    device: str

    def compare(
        self,
        names: list[str],
        size: str,
        vocabulary: int,
        length: int,
        rows: int | None = None,
        overrides: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Returns figures of a step of each contestant, and the rate of matrix products between the steps."""
        import torch

        from maskwright.models.flops import matmul_rate

        arguments = self.arguments
        spec = self.spec(size, vocabulary, length, rows or arguments.tokens // length, overrides)
        contestants = start({name: dataclasses.replace(spec, name=name) for name in names})
        laps: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        rates = []
        try:
            for turn in range(arguments.repeat + 2):  # the first two warm up
                for name, contestant in contestants.items():
                    laps[name].append(contestant.step())
                if turn >= 2:
                    kind = torch.bfloat16 if arguments.device == "cuda" else torch.float32
                    rates.append(matmul_rate(torch.device(arguments.device), kind, seconds=0.05))
        finally:
            for contestant in contestants.values():
                contestant.close()
        rate = statistics.median(rates)
        figures: dict[str, Any] = {"matrix products, GFLOP/s": round(rate / 1e9, 1)}
        for name, contestant in contestants.items():
            seconds = statistics.median(lap["seconds"] for lap in laps[name][2:])
            flops = statistics.median(lap["flops"] for lap in laps[name][2:])
            peak = next((peak for device, peak in DENSE_BF16.items() if device in self.device), None)
            figures[name] = {
                "parameters": contestant.model["parameters"],
                "seconds": round(seconds, 4),
                "tokens_per_second": round(spec.rows * length / seconds),
                "utilization": round(flops / seconds / rate, 3),
                **({"share of the dense bf16 peak": round(flops / seconds / peak, 3)} if peak else {}),
                "MiB": round(laps[name][-1]["peak"]),
                "MiB beyond imports and data": round(laps[name][-1]["peak"] - contestant.model["before"]),
            }
        for peer in set(names) - {"ours"}:
            ours, theirs = figures["ours"], figures[peer]
            figures[f"beside {peer}"] = {
                "tokens per second": round(ours["tokens_per_second"] / theirs["tokens_per_second"], 2),
                "memory": round(ours["MiB"] / theirs["MiB"], 2),
            }
        return figures

    def spec(self, size: str, vocabulary: int, length: int, rows: int, overrides: tuple[str, ...]) -> Spec:
        """Returns what all contestants of a comparison share."""
        arguments = self.arguments
        data = (
            *([f"data.source={arguments.source}"] if arguments.source else []),
            f"data.limit={arguments.limit}",
            f"data.cache_dir={self.cache}",
            f"data.block_size={length}",
            f"tokenizer.vocabulary_size={vocabulary}",
        )
        return Spec(
            "",
            data,
            steps=10_000,
            rows=rows,
            size=size,
            overrides=("optimizer=adamw", "mask.ratio=0.15", *overrides),
            in_turns=True,
            device=arguments.device,
            compile=arguments.device == "cuda",
        )


if __name__ == "__main__":
    main()
