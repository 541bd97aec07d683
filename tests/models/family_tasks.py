"""The tasks that a model of the hub goes through, on a small corpus that is prepared once for all of them."""

import copy
import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from maskwright.data.corpus import Corpus
from maskwright.masking import Masker
from maskwright.models import Pretrained
from maskwright.run.assemble import make_maskers, make_task, prepare, vocabulary_of
from maskwright.run.saved import SavedRun
from maskwright.settings.commands import TrainSettings
from maskwright.tasks import MaskedLanguageModeling, Task
from maskwright.text.tokenizer import Trained
from tests.conftest import compose_train
from tests.texts import make_text

VOCABULARY = 120
# without weights from the hub, transformers trains its sinusoids, which else are fixed: another number of parameters
UNLIKE = ("roformer",)
TASKS = ("mlm", "classification", "tagging")
_TEXTS = [make_text(seed, 2) for seed in range(60)]


@dataclass(frozen=True)
class _Prepared:
    settings: TrainSettings
    data: Corpus
    maskers: dict[str, Masker]
    batch: dict[str, Tensor]


class Tasks:
    """Masked language modelling, classification and tagging, with a tokenizer that all models share.

    Args:
        folder: where the corpora, the tokenizer and the cache are written.
    """

    def __init__(self, folder: Path):
        tokenizer = Trained("wordpiece", VOCABULARY, lowercase=True).make(lambda: iter([_TEXTS]))
        assert (len(tokenizer), tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id) == (VOCABULARY, 0, 2, 3)
        tokenizer.save(folder / "tokenizer")
        (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in _TEXTS))
        with (folder / "labels.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *zip(_TEXTS, ["neg", "pos"] * 30, strict=True)])
        rows = ({"words": text.split(), "tags": ["B-A", *["O"] * len(text.split()[1:])]} for text in _TEXTS)
        (folder / "tags.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        sources = {
            "mlm": ["data=text", f"data.source={folder}/texts.jsonl"],
            "classification": ["data=csv", f"data.source={folder}/labels.csv"],
            "tagging": ["data=text", f"data.source={folder}/tags.jsonl", "data.column=words", "data.tags=tags"],
        }
        self._prepared = {name: self._prepare(name, sources[name], folder) for name in TASKS}

    def _prepare(self, name: str, source: list[str], folder: Path) -> _Prepared:
        common = ["tokenizer=pretrained", f"tokenizer.name={folder}/tokenizer", f"data.cache_dir={folder}/cache"]
        model = [
            "model=pretrained",
            f"run_dir={folder}/run",
            f"model.name={folder}",
            "data.block_size=24",
            "hardware=cpu",
        ]
        # a Reformer draws seeds from the clock when it trains, which dropout after it would show
        model += [] if name == "mlm" else ["task.dropout=0"]
        composed = compose_train(f"task={name}", *source, *common, *model, "preparation.workers=1")
        settings = TrainSettings.parse(OmegaConf.to_container(composed, resolve=True))
        data, masks = prepare(settings)
        maskers = make_maskers(settings, masks, vocabulary_of(data.tokenizer, data))
        return _Prepared(settings, data, maskers, data.sample(4))

    def go_through(self, name: str, encoder: Pretrained, run: Path) -> None:
        """Trains a model of the hub for a step, and opens the run again, as evaluating and resuming do.

        Raises:
            AssertionError: it does not learn, or what was opened computes something else.
        """
        own = self._prepared[name]
        task = make_task(own.settings, own.maskers, own.data.tokenizer, own.data.labels, encoder)
        optimizer = task.make_optimizer()
        before = encoder.embedding.weight.detach().clone()
        _step(task, optimizer, own.batch)
        assert not torch.equal(before, encoder.embedding.weight)
        saved = {"hyper_parameters": dict(task.hparams), "global_step": 1, "state_dict": task.state_dict()}
        (run / "checkpoints").mkdir(parents=True)
        torch.save(saved, run / "checkpoints" / "last.ckpt")
        own.data.tokenizer.save(run / "tokenizer")
        encoder.save_architecture(run)
        opened = SavedRun.open(run).task
        torch.testing.assert_close(_outputs(opened, own.batch), _outputs(task, own.batch))
        if encoder.model.config.model_type in UNLIKE:
            return
        other = opened.make_optimizer()
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        assert _step(opened, other, own.batch) == pytest.approx(_step(task, optimizer, own.batch), rel=1e-5)
        torch.testing.assert_close(_outputs(opened, own.batch), _outputs(task, own.batch))


def _outputs(task: Task, batch: dict[str, Tensor]) -> Tensor:
    """Returns logits of masked tokens, of classes or of tags, in evaluation mode."""
    torch.manual_seed(0)
    task.eval()
    with torch.no_grad():
        found: Any = task(batch, task.masker(batch)) if isinstance(task, MaskedLanguageModeling) else task(batch)
    return found


def _step(task: Task, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor]) -> float:
    """Takes a step, and returns its loss."""
    torch.manual_seed(0)
    task.train()
    masked = task.masker(batch)
    if isinstance(task, MaskedLanguageModeling):
        loss = task.loss(batch, masked)[0]
    else:
        loss = task.score(batch, masked.input_ids)[0]
    optimizer.zero_grad()
    loss.backward()
    gradients = [weight.grad for weight in task.parameters() if weight.grad is not None]
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)
    optimizer.step()
    return loss.item()
