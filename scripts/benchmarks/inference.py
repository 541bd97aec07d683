"""How fast a classifier answers: PyTorch, compiled, ONNX Runtime in float32 and int8, LiteRT, and a pipeline.

    pip install -e ".[dev]"
    python scripts/benchmarks/inference.py --run logs/classification/2026-11-26/10-00-00
    python scripts/benchmarks/inference.py --run logs/classification/2026-11-26/10-00-00 --accuracy

The run is exported first, as `src/export.py` does it. All contestants get the same texts of the run's test split,
and return their classes: `short` ones are the first words of a text, `mixed` ones are whole, cut off where a row
ends. Where a batch has several, ours sort texts by length, and pad each batch to its longest; the pipeline of
transformers gets them in their order, with the same `batch_size`. Turns alternate, and medians are shown. LiteRT
answers one text at a time, in signatures of fixed lengths, and is left out where `make litert` has not been called.
`--accuracy` compares float32 and int8 on the whole test split instead.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tokenizers
import torch
import transformers
from hydra import compose, initialize_config_dir

from maskwright.export.check import Rows, measure
from maskwright.export.graph import Exportable
from maskwright.export.litert import ENVIRONMENT
from maskwright.inference.graph import Graph
from maskwright.run.assemble import prepare
from maskwright.run.export import evaluated, export, exportable
from maskwright.run.saved import SavedRun

ROOT = Path(__file__).resolve().parents[2]
WORDS = 12  # of a short text
LITERT = ROOT / "scripts" / "benchmarks" / "inference_litert.py"
Answer = Callable[[list[str]], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="the directory of a run of task=classification")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32], help="texts of a batch")
    parser.add_argument("--texts", type=int, default=96, help="texts of a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--no-compiled", action="store_true", help="leaves torch.compile out")
    parser.add_argument("--no-litert", action="store_true", help="leaves LiteRT out")
    parser.add_argument("--accuracy", action="store_true", help="compares accuracies, not times")
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file")
    arguments = parser.parse_args()
    saved = SavedRun.open(arguments.run, "run", prefer=("best",))
    own = exportable(saved, "labels")
    if own.kind != "class":
        parser.error("--run is not a run of task=classification")
    data, _ = prepare(evaluated(saved))
    with tempfile.TemporaryDirectory() as kept:
        folders = exports(arguments.run, Path(kept), litert=not (arguments.accuracy or arguments.no_litert))
        if arguments.accuracy:
            figures: Any = accuracies(own, folders, data)
        else:
            figures = times(own, folders, data.texts("test"), arguments)
    if arguments.output:
        machine = {"cores": os.cpu_count(), "machine": platform.platform()}
        arguments.output.write_text(json.dumps(machine | {"figures": figures}, indent=1) + "\n")


def exports(run: str, kept: Path, litert: bool) -> dict[str, Path]:
    """Exports the run to all formats; returns their folders."""
    wanted = {"hf": ["format=hf"], "onnx": ["format=onnx"], "onnx int8": ["format=onnx", "quantize=int8"]}
    if litert and (ENVIRONMENT / ".installed").exists():
        wanted |= {"litert": ["format=litert"], "litert int8": ["format=litert", "quantize=int8"]}
    folders = {}
    for name, overrides in wanted.items():
        folders[name] = kept / name.replace(" ", "-")
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            export(
                compose(
                    "export", [f"run={run}", f"output={folders[name]}", "limit=50", "tolerance=0.05", *overrides]
                )
            )
    return folders


def accuracies(own: Exportable, folders: dict[str, Path], data: Any) -> dict[str, float]:
    """Returns the accuracy on the test split, of all its rows. Exports in float32 are equal to PyTorch."""
    figures = {}
    for name in ("onnx", "onnx int8"):
        outputs = Graph(folders[name])
        began = time.perf_counter()
        figures[name] = measure(own, outputs, (Rows(batch) for batch in data.test_dataloader()))
        print(f"{name}: accuracy {100 * figures[name]:.2f} % in {time.perf_counter() - began:.0f} s", flush=True)
    return figures


def times(own: Exportable, folders: dict[str, Path], test: list[str], arguments: argparse.Namespace) -> list[Any]:
    """Prints and returns milliseconds a batch and texts a second, of each contestant in each setting."""
    some = np.random.default_rng(0).permutation(len(test))[: arguments.texts]
    mixed = [test[number] for number in some]
    kinds = {"short": [" ".join(text.split()[:WORDS]) for text in mixed], "mixed": mixed}
    figures = []
    for threads in dict.fromkeys(arguments.threads):
        torch.set_num_threads(threads)
        engines = contestants(own, folders, threads, compiled=not arguments.no_compiled)
        for batch in arguments.batches:
            for kind, texts in kinds.items():
                seconds = race(engines, texts, batch, arguments.turns)
                for name in ("litert", "litert int8") if batch == 1 else ():
                    if name in folders:
                        seconds[name] = litert(folders, name, texts, threads, arguments.turns)
                plain = statistics.median(seconds["torch"])
                for name, taken in seconds.items():
                    median = statistics.median(taken)
                    row = {
                        "threads": threads,
                        "batch": batch,
                        "texts": kind,
                        "contestant": name,
                        "ms_per_batch": round(1e3 * median * batch / len(texts), 2),
                        "texts_per_second": round(len(texts) / median, 1),
                        "times_torch": round(plain / median, 2),
                    }
                    figures.append(row)
                    print(" ".join(f"{key}={value}" for key, value in row.items()), flush=True)
    return figures


def race(
    engines: dict[str, Callable[[int], Answer]], texts: list[str], batch: int, turns: int
) -> dict[str, list[float]]:
    """Returns the seconds that each contestant needs for all texts, by turns. The first turn warms up.

    Raises:
        RuntimeError: they disagree on more than a tenth of the classes, which int8 does not explain.
    """
    answers = {name: engine(batch) for name, engine in engines.items()}
    seconds: dict[str, list[float]] = {name: [] for name in answers}
    for turn in range(turns + 1):
        for name, answer in answers.items():
            began = time.perf_counter()
            found = answer(texts)
            if turn:
                seconds[name].append(time.perf_counter() - began)
            elif name == "torch":
                expected = found
            elif np.mean([one != other for one, other in zip(found, expected, strict=True)]) > 0.1:
                raise RuntimeError(f"{name} gives other classes than torch")
    return seconds


def contestants(
    own: Exportable, folders: dict[str, Path], threads: int, compiled: bool
) -> dict[str, Callable[[int], Answer]]:
    """Returns what makes the function of each contestant that classifies texts, for a number of texts a batch."""
    tokenizer = tokenizers.Tokenizer.from_file(str(folders["onnx"] / "tokenizer.json"))
    tokenizer.no_padding()

    def by_length(outputs: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[int], Answer]:
        def sized(batch: int) -> Answer:
            def answer(texts: list[str]) -> list[int]:
                rows = [row.ids for row in tokenizer.encode_batch(texts)]
                order = sorted(range(len(rows)), key=lambda number: -len(rows[number]))
                found = [0] * len(rows)
                for first in range(0, len(order), batch):
                    chosen = order[first : first + batch]
                    lengths = np.array([len(rows[number]) for number in chosen])
                    ids = np.full((len(chosen), lengths.max()), own.tokenizer.pad_id)
                    for place, number in enumerate(chosen):
                        ids[place, : lengths[place]] = rows[number]
                    seen = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
                    for number, row in zip(chosen, outputs(ids, seen).argmax(-1), strict=True):
                        found[number] = int(row)
                return found

            return answer

        return sized

    def of_module(module: Any) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        @torch.inference_mode()
        def outputs(ids: np.ndarray, seen: np.ndarray) -> np.ndarray:
            return module(torch.from_numpy(ids), torch.from_numpy(seen)).numpy()

        return outputs

    def of_session(folder: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        return lambda ids, seen: session.run(None, {"input_ids": ids, "attention_mask": seen})[0]

    assert own.labels is not None
    numbers = {name: number for number, name in enumerate(own.labels.names)}
    pipe = transformers.pipeline("text-classification", model=str(folders["hf"]), trust_remote_code=True)

    def piped(batch: int) -> Answer:
        return lambda texts: [numbers[row["label"]] for row in pipe(texts, batch_size=batch, truncation=True)]

    found = {"torch": by_length(of_module(own.module))}
    if compiled:
        found["compiled"] = by_length(of_module(torch.compile(own.module, dynamic=True)))
    found |= {name: by_length(of_session(folders[name])) for name in ("onnx", "onnx int8")}
    return found | {"pipeline": piped}


def litert(folders: dict[str, Path], name: str, texts: list[str], threads: int, turns: int) -> list[float]:
    """Returns the seconds that LiteRT needs for all texts, one at a time, in its own environment."""
    given = json.dumps({"texts": texts, "threads": threads, "turns": turns})
    command = [ENVIRONMENT / "bin" / "python", LITERT, folders[name]]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
