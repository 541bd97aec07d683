"""The peers of the race: models of transformers, trained by its `Trainer`."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from contestants import Laps, Spec, config_of, mean_loss, open_data, peak_memory, say
from torch import Tensor, nn
from transformers import AutoTokenizer, DataCollatorForLanguageModeling, Trainer, TrainingArguments

from maskwright.models.bigrams import Bigrams, neighbours_of
from maskwright.models.cooccurrence import fill
from maskwright.models.flops import forward_flops
from maskwright.models.layers.gather import gather
from maskwright.tasks.task import count_neighbours


def peer_model(spec: Spec, data: Any) -> Any:
    """Returns a BertForMaskedLM or ModernBertForMaskedLM without dropout, with about as many parameters as ours."""
    shape = config_of(spec, "run_dir=none").model
    ids = {f"{name}_token_id": getattr(data.tokenizer, f"{name}_id") for name in ("pad", "cls", "sep")}
    common = {
        "vocab_size": len(data.tokenizer),
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "max_position_embeddings": data.block_size,
        "attn_implementation": "sdpa",
        "pad_token_id": ids["pad_token_id"],
    }
    if spec.name == "bert":
        return transformers.BertForMaskedLM(
            transformers.BertConfig(
                **common,
                intermediate_size=4 * shape.hidden_size,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            )
        )
    uncompiled: dict[str, Any] = {"reference_compile": False}  # no field of newer versions, which compile nothing
    return transformers.ModernBertForMaskedLM(
        transformers.ModernBertConfig(
            **common,
            sparse_prediction=True,  # logits of masked tokens alone: the same loss, sooner
            **{key: value for key, value in ids.items() if key != "pad_token_id"},
            intermediate_size=shape.intermediate_size,
            layer_types=["full_attention"] * shape.layers,
            rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": shape.rotary_base}},
            **uncompiled,
        )
    )


class ForwardWithCounts:
    """The forward pass of a peer to whose logits counts of both neighbours are added, as they are to those of ours.

    Args:
        body, head: parts of the peer, see `parts`.
        data: the corpus that is counted.
    Attributes:
        bigrams: the counts.
        counting: the seconds that counting took.
    """

    def __init__(self, body: nn.Module, head: Callable[[Tensor], Tensor], data: Any):
        self.body, self.head = body, head
        began = time.perf_counter()
        counts, share = count_neighbours(data, len(data.tokenizer))
        self.bigrams = Bigrams(len(data.tokenizer), 1.0, (0, 0))
        fill(self.bigrams, counts, data.tokenizer.is_special, share)
        self.counting = time.perf_counter() - began

    def __call__(
        self, input_ids: Tensor, labels: Tensor, attention_mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Returns the mean loss of the masked tokens; the logits of others are not computed."""
        masked = labels != -100
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask)[0][masked]
        targets = labels[masked]
        neighbours = neighbours_of(input_ids, None)[masked]
        said = torch.zeros(len(targets), len(self.bigrams.chance))
        self.bigrams.add(said, neighbours, targets if self.body.training else None)
        return {"loss": F.cross_entropy(self.head(hidden).float() + said, targets)}


def parts(model: Any) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """Returns the encoder of a peer, and what makes logits of its hidden states."""
    if isinstance(model, transformers.BertForMaskedLM):
        return model.bert, model.cls
    return model.model, lambda hidden: model.decoder(model.head(hidden))


class Rows:
    """The blocks of the training split, as a data set for the Trainer of transformers."""

    def __init__(self, blocks: Any):
        self.blocks = blocks

    def __len__(self) -> int:
        return len(self.blocks) - 1  # the last one is padded

    def __getitem__(self, index: int) -> dict[str, Any]:
        import numpy as np

        return {"input_ids": self.blocks.read(np.array([index]))["input_ids"][0]}


class ByNumber:
    """A collator that draws masks by the number of the batch, so that a run that goes on draws the same ones."""

    def __init__(self, collator: Callable[[list[Any]], Any], seed: int, begin: int):
        self.collator, self.seed, self.number = collator, seed, begin

    def __call__(self, rows: list[Any]) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((self.seed << 32) + self.number)
            self.number += 1
            return self.collator(rows)


def run_peer(spec: Spec) -> None:
    data, masker = open_data(spec)
    before = peak_memory(spec)
    transformers.set_seed(spec.seed)
    model = peer_model(spec, data)
    flops = 3 * forward_flops(model, torch.zeros(spec.rows, data.block_size, dtype=torch.long))
    body, head = parts(model)
    counted = ForwardWithCounts(body, head, data) if spec.counts else None
    said = {"parameters": sum(p.numel() for p in model.parameters()), "before": before}
    if counted is not None:
        model.forward = counted
        said["counting"] = counted.counting
    validation = list(data.val_dataloader()) if spec.evaluate_at else []

    def logits_at(batch: Any, masked: Any) -> Any:
        hidden = body(input_ids=masked.input_ids, attention_mask=batch.get("attention_mask"))[0]
        logits = head(gather(hidden, masked.positions))
        if counted is None:
            return logits
        return logits + counted.bigrams(gather(neighbours_of(masked.input_ids, None), masked.positions))

    def evaluate() -> float:
        model.eval()
        loss = mean_loss(validation, masker, logits_at)
        model.train()
        return loss

    laps = Laps(spec, evaluate, lambda: flops)
    kept = None if spec.unfinished is None else last_checkpoint(Path(spec.unfinished))
    begin = 0 if kept is None else steps_of(kept)
    if begin:
        laps.go_on(begin)
    say(said | {"points": laps.points})

    class Watch(transformers.TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            laps.start()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            laps.stop(state.global_step)

    with tempfile.TemporaryDirectory() as folder:
        tokenizer = AutoTokenizer.from_pretrained(data.tokenizer_folder)
        collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=spec.mask_ratio)
        trainer = Trainer(
            model,
            peer_arguments(spec, folder),
            data_collator=collator if spec.unfinished is None else ByNumber(collator, spec.seed, begin),
            train_dataset=Rows(data.blocks["train"]),
            callbacks=[Watch()],
            optimizers=(MuonAndAdamW(model, spec) if spec.name == "modernbert-muon" else None, None),
        )
        trainer.train(resume_from_checkpoint=None if kept is None else str(kept))
    if spec.save is not None:
        model.save_pretrained(spec.save)
        tokenizer.save_pretrained(spec.save)


class MuonAndAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` for the matrices inside a model, AdamW for its embeddings, norms and biases."""

    def __init__(self, model: transformers.PreTrainedModel, spec: Spec):
        shared = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
        inside = [p for p in model.parameters() if p.ndim == 2 and id(p) not in shared]
        others = [p for p in model.parameters() if p.ndim != 2 or id(p) in shared]
        self.parts = [
            torch.optim.Muon(inside, lr=spec.lr, weight_decay=spec.weight_decay),
            torch.optim.AdamW(
                others,
                lr=spec.adamw_lr,
                betas=(0.9, spec.beta2),
                eps=1e-6,
                weight_decay=spec.weight_decay,
                fused=True,
            ),
        ]
        super().__init__([*inside, *others], {})
        self._join()

    def _join(self) -> None:
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._join()


def last_checkpoint(folder: Path) -> Path | None:
    """Returns the last complete checkpoint of a run that was stopped; None if there is none."""
    states = folder.glob("checkpoint-*/trainer_state.json")  # written last
    return max((path.parent for path in states), key=steps_of, default=None)


def steps_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def peer_arguments(spec: Spec, folder: str) -> Any:
    """Returns the `TrainingArguments` of a peer."""
    cuda = spec.device == "cuda"
    return TrainingArguments(
        spec.unfinished or folder,
        max_steps=spec.steps,
        per_device_train_batch_size=spec.rows,
        learning_rate=spec.lr,
        lr_scheduler_type="linear",
        warmup_steps=max(round(0.06 * spec.steps), 1),
        weight_decay=spec.weight_decay,
        adam_beta2=spec.beta2,
        adam_epsilon=1e-6,
        optim="adamw_torch_fused",
        seed=spec.seed,
        save_strategy="no" if spec.unfinished is None else "steps",
        save_steps=max(spec.steps // 20, 1),
        save_total_limit=2,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not cuda,
        bf16=cuda,
        torch_compile=spec.compile,
        dataloader_pin_memory=cuda,
        dataloader_num_workers=2 if cuda else 0,
    )
