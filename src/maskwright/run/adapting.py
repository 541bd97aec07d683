"""What training adds to a model after its weights are loaded: rows for new tokens, and adapters."""

import torch

from maskwright.core import hashing
from maskwright.core.errors import UserError
from maskwright.models.lora import Lora, add_adapters
from maskwright.models.new_tokens import add_tokens
from maskwright.settings.build import build
from maskwright.settings.commands import TrainSettings
from maskwright.settings.declared import lora_of
from maskwright.tasks import Task
from maskwright.text.tokenizer import Tokenizer
from maskwright.text.tokenizer.extension import Extension


def extended_here(settings: TrainSettings, tokenizer: Tokenizer) -> Extension | None:
    """Returns the words that this run adds to its tokenizer; None if it adds none."""
    return tokenizer.extension if settings.tokenizer.get("extend") else None


def adapt(task: Task, settings: TrainSettings, tokenizer: Tokenizer) -> list[str]:
    """Adds rows and adapters to a task that has its first weights, or will load those of a checkpoint.

    Returns:
        What was added, one line each.
    Raises:
        UserError: the model has no layers for them.
    """
    said = []
    if (extension := extended_here(settings, tokenizer)) is not None:
        add_tokens(task.encoder, task.vocabulary_heads, extension.first, extension.pieces)
        task.begin_new_tokens(extension.first, extension.end)
        said.append(f"{len(extension.pieces):,} new tokens begin as the means of the tokens that they replace")
    elif settings.task.get("finetuning") and settings.task["finetuning"].get("new_tokens_first"):
        raise UserError(
            "task.finetuning.new_tokens_first is set, but this run adds no tokens. Set it to 0, or set "
            "tokenizer.extend."
        )
    if (lora := lora_of(settings.model)) is not None:
        chosen: Lora = build(lora, "model.lora")
        with torch.random.fork_rng(
            devices=[]
        ):  # whatever was drawn before, and without changing what is drawn next
            torch.manual_seed(hashing.start(settings.seed, 0x6C6F7261))  # "lora"
            add_adapters(task.encoder, chosen)
        task.set_learning(1.0)  # before devices agree on which gradients they share
        learning = sum(own.numel() for own in task.encoder.parameters() if own.requires_grad)
        said.append(f"adapters of rank {chosen.rank}: {learning:,} weights of the encoder learn")
    return said
