"""Measures how fast masks are, compared with the collator of transformers, in one run.

    python scripts/benchmarks/masking.py

Batches are real text: the corpus of the default run, its tokenizer, and what each strategy learns from it.
`DataCollatorForLanguageModeling` gets what its users give it, a list of rows with ids, special-token masks and, for
whole words, offsets. Its masking alone, after tensors have been made of these, is timed as well. Everything is
timed in turns of many calls, and medians over the turns are printed. On a GPU (--device cuda) the maskers also run
under `torch.cuda.set_sync_debug_mode("error")`, which fails where the host would wait.
"""

import argparse
import functools
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SIZES = ((32, 128), (256, 128), (64, 512))
_TURN = 0.03  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=31, help="measurements of each figure")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--cache", help="folder for the prepared corpus; by default a temporary one")
    parser.add_argument("--limit", type=int, help="only this many documents")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"

    import torch

    from maskwright.core.device import device_name

    figures: dict[str, Any] = {
        "device": device_name(arguments.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    with tempfile.TemporaryDirectory() as temporary:
        corpora = {
            length: Corpus(length, arguments.cache or temporary, arguments.limit)
            for length in sorted({length for _, length in SIZES} | {2048})
        }
        if arguments.device == "cpu":
            figures["milliseconds beside the collator of transformers"] = beside_transformers(
                corpora, arguments.repeat
            )
        figures["strategies at 32 x 128"] = strategies(corpora[128], arguments.device, arguments.repeat)
        figures["nanoseconds per token in rows of"] = by_length(corpora, arguments.device, arguments.repeat)
    print(json.dumps(figures, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=2))


class Corpus:
    """The default corpus in blocks of one length, with the annotations of all strategies."""

    def __init__(self, block_size: int, cache: str, limit: int | None):
        from hydra import compose, initialize_config_dir
        from omegaconf import OmegaConf

        from maskwright.data.packed import TextData
        from maskwright.run.assemble import build_masks, make_data, make_maskers, vocabulary_of
        from maskwright.settings.commands import TrainSettings

        settings = [f"data.block_size={block_size}", f"data.cache_dir={cache}", "run_dir=x"]
        settings += [] if limit is None else [f"data.limit={limit}"]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            configs = {
                path.stem: TrainSettings.parse(
                    OmegaConf.to_container(compose("train", [f"mask={path.stem}", *settings]), resolve=True)
                )
                for path in sorted((ROOT / "conf" / "mask").glob("[!_]*.yaml"))
            }
        masks = {name: build_masks(config) for name, config in configs.items()}
        data = make_data(configs["token"], {name: own["mask"] for name, own in masks.items()})
        assert isinstance(data, TextData)
        self.data = data
        self.data.prepare_data()
        self.data.setup()
        vocabulary = vocabulary_of(self.data.tokenizer, self.data)
        self.maskers = {
            name: make_maskers(config, masks[name], vocabulary)["mask"] for name, config in configs.items()
        }

    def masking(self, batch: dict[str, Any], device: str) -> dict[str, Callable[[], Any]]:
        """Returns for each strategy a function that masks a batch on a device."""
        return {name: functools.partial(masker.to(device), batch) for name, masker in self.maskers.items()}

    def batch(self, rows: int) -> dict[str, Any]:
        """Returns the first `rows` blocks of the training split, read from the memory map as in training."""
        import numpy as np
        import torch

        examples = np.arange(rows) % (len(self.data.blocks["train"]) - 1)
        read = self.data.blocks["train"].read(examples)
        read |= {"examples": examples, "epochs": np.zeros_like(examples)}
        return {name: torch.from_numpy(array) for name, array in read.items()}


def medians(functions: dict[str, Callable[[], Any]], repeat: int, device: str = "cpu") -> dict[str, float]:
    """Returns the milliseconds of a call of each function, the median over turns of calls for `_TURN` seconds."""
    import torch

    def seconds(function: Callable[[], Any], calls: int) -> float:
        began = time.perf_counter()
        for _ in range(calls):
            function()
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / calls

    calls = {}
    for name, function in functions.items():
        seconds(function, 3)
        calls[name] = max(int(_TURN / seconds(function, 3)), 1)
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeat):
        for name, function in functions.items():
            function()  # fills the caches with the data of this function
            times[name].append(seconds(function, calls[name]) * 1000)
    return {name: statistics.median(found) for name, found in times.items()}


def beside_transformers(corpora: dict[int, Corpus], repeat: int) -> dict[str, Any]:
    """Times our maskers and the collator on the same rows."""
    from transformers import AutoTokenizer, DataCollatorForLanguageModeling

    figures = {}
    for rows, length in SIZES:
        corpus = corpora[length]
        tokenizer = AutoTokenizer.from_pretrained(corpus.data.tokenizer_folder)
        batch = corpus.batch(rows)
        offsets = _offsets(batch["words"])
        special = (batch["words"] < 0).long()
        listed = [
            {"input_ids": ids, "special_tokens_mask": mask}
            for ids, mask in zip(batch["input_ids"].tolist(), special.tolist(), strict=True)
        ]
        with_offsets = [row | {"offset_mapping": own} for row, own in zip(listed, offsets.tolist(), strict=True)]
        for strategy, examples, whole_words in (("token", listed, False), ("wholeword", with_offsets, True)):
            collator = DataCollatorForLanguageModeling(tokenizer, whole_word_mask=whole_words)
            masker = corpus.maskers[strategy]
            core = {"special_tokens_mask": special} | ({"offset_mapping": offsets} if whole_words else {})
            times = medians(
                {
                    "transformers": lambda: collator([dict(row) for row in examples]),  # noqa: B023
                    "its masking alone": lambda: collator.torch_mask_tokens(batch["input_ids"].clone(), **core),  # noqa: B023
                    "ours": lambda: masker(batch),  # noqa: B023
                    "ours, reading the batch included": lambda: masker(corpus.batch(rows)),  # noqa: B023
                },
                repeat,
            )
            figures[f"{strategy}, {rows} x {length}"] = {name: round(value, 3) for name, value in times.items()} | {
                "times faster": round(times["transformers"] / times["ours"], 1),
                "times faster, reading included": round(
                    times["transformers"] / times["ours, reading the batch included"], 1
                ),
                "times faster, masking alone": round(times["its masking alone"] / times["ours"], 1),
            }
    return figures


def _offsets(words: Any) -> Any:
    """Returns offsets (B, T, 2) with a gap before each word, so that transformers finds the same words."""
    import torch

    position = torch.arange(words.shape[1])
    opens = torch.ones_like(words, dtype=torch.bool)
    opens[:, 1:] = words[:, 1:] != words[:, :-1]
    first = 2 * position + opens
    return torch.stack((first, (2 * position + 2).expand_as(first)), dim=-1)


def strategies(corpus: Corpus, device: str, repeat: int) -> dict[str, Any]:
    """Times each strategy at 32 x 128, also relative to a training step of `model/size=mini`."""
    import torch

    batch = {name: tensor.to(device) for name, tensor in corpus.batch(32).items()}
    masking = corpus.masking(batch, device)
    if device == "cuda":
        for mask in masking.values():
            mask()
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        for mask in masking.values():
            mask()
        torch.cuda.set_sync_debug_mode("default")
    times = medians(masking, repeat, device)
    step = medians({"step": training_step(corpus, batch, device)}, max(repeat // 3, 3), device)["step"]
    return {"milliseconds of a training step of mini": round(step, 1)} | {
        name: {"milliseconds": round(value, 3), "share of the step": f"{value / step:.2%}"}
        for name, value in times.items()
    }


def training_step(corpus: Corpus, batch: dict[str, Any], device: str) -> Callable[[], None]:
    """Returns a training step on a batch that is already masked: forward, backward, AdamW."""
    import torch
    import torch.nn.functional as F
    from hydra import compose, initialize_config_dir

    from maskwright.models import MaskedLMHead, Transformer

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        size = compose("train", ["model/size=mini", "run_dir=x"]).model
    keys = ("layers", "hidden_size", "heads", "intermediate_size")
    encoder = Transformer(len(corpus.data.tokenizer), **{key: size[key] for key in keys}).to(device)
    head = MaskedLMHead(encoder.embedding).to(device)
    parameters = list({id(p): p for p in [*encoder.parameters(), *head.parameters()]}.values())
    optimizer = torch.optim.AdamW(parameters, fused=True)
    masked = corpus.maskers["wholeword"](batch)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits = head(encoder(masked.input_ids, batch.get("attention_mask"), masked.positions))
        targets = masked.targets.where(masked.valid, -100)
        F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-100).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def by_length(corpora: dict[int, Corpus], device: str, repeat: int) -> dict[str, Any]:
    """Times masking per token for rows of increasing length, with 32,768 tokens per batch."""
    figures: dict[str, Any] = {}
    for length, corpus in corpora.items():
        batch = {name: tensor.to(device) for name, tensor in corpus.batch(32_768 // length).items()}
        times = medians(corpus.masking(batch, device), repeat, device)
        figures[str(length)] = {name: round(value * 1e6 / 32_768) for name, value in times.items()}
    return figures


if __name__ == "__main__":
    main()
