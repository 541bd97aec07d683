"""Optimizer states in checkpoints refer to parameters by group and position, so neither may change."""

import pytest
import torch
import transformers

from maskwright.data.label_spec import LabelSpec
from maskwright.masking import Constant, Corruption, Masker, Tokens, Uniform, Vocabulary
from maskwright.models import LSTM, Pretrained, Transformer, masked_lm_head
from maskwright.optim import muon
from maskwright.tasks import Classification, FineTuning, MaskedLanguageModeling

ATTENTION = "attention.self.query attention.self.key attention.self.value attention.output.dense".split()


def optimizer(module):
    return muon(
        module,
        lr=1.0,
        adamw_lr=0.5,
        momentum=0.9,
        ns_steps=3,
        ns_dtype="auto",
        betas=(0.9, 0.99),
        eps=1e-8,
        weight_decay=0.1,
    )


def transformer(folder):
    return Transformer(60, 2, 16, 2, 24, convolution=1, query_key_norm=True, value_residual=True)


def lstm(folder):
    return LSTM(60, 1, 16)


def hub(folder):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=60, **sizes)).save_pretrained(folder)
    return Pretrained(60, str(folder))


def of_tokens(encoder, **shared):
    return MaskedLanguageModeling(
        encoder=encoder, head=masked_lm_head(encoder), evaluation_masker=shared["masker"], **shared
    )


def of_labels(encoder, **shared):
    finetuning = FineTuning(freeze="embeddings", layer_decay=0.5, head_lr=7.0, head_weight_decay=0.3)
    labels = LabelSpec("class", ("a", "b"), (1, 1))
    return Classification(encoder=encoder, labels=labels, pooling="attention", finetuning=finetuning, **shared)


LSTM_WEIGHTS = [f"encoder.layers.0.weight_{kind}_l0{way}" for way in ("", "_reverse") for kind in ("ih", "hh")]
LSTM_BIASES = [name.replace("weight", "bias") for name in LSTM_WEIGHTS]
LAYER = "encoder.model.encoder.layer.0"
GROUPS = {  # stacked, learning rate, weight decay, parameters
    (transformer, of_tokens): [
        (3, 1.0, 0.1, [f"encoder.layers.{i}.attention.query_key_value.weight" for i in (0, 1)]),
        (1, 1.0, 0.1, [*[f"encoder.layers.{i}.attention.output.weight" for i in (0, 1)], "head.dense.weight"]),
        (2, 1.0, 0.1, [f"encoder.layers.{i}.feed_forward.input.weight" for i in (0, 1)]),
        (1, 1.0, 0.1, [f"encoder.layers.{i}.feed_forward.output.weight" for i in (0, 1)]),
        (0, 0.5, 0.1, ["encoder.embedding.weight"]),
        (
            0,
            0.5,
            0.0,
            [
                "encoder.embedding_norm.weight",
                "encoder.convolution.weights.0",
                "encoder.convolution.weights.1",
                "encoder.layers.0.feed_forward_norm.weight",
                "encoder.layers.1.attention_norm.weight",
                "encoder.layers.1.attention.first_share",
                "encoder.layers.1.feed_forward_norm.weight",
                "encoder.final_norm.weight",
                "head.norm.weight",
                "head.decoder.bias",
            ],
        ),
    ],
    (lstm, of_tokens): [
        (1, 1.0, 0.1, ["head.dense.weight"]),
        (0, 0.5, 0.1, ["encoder.embedding.weight", *LSTM_WEIGHTS]),
        (
            0,
            0.5,
            0.0,
            [
                "encoder.embedding_norm.weight",
                "encoder.embedding_norm.bias",
                *LSTM_BIASES,
                "head.norm.weight",
                "head.decoder.bias",
            ],
        ),
    ],
    (hub, of_tokens): [
        (1, 1.0, 0.1, [*[f"{LAYER}.{name}.weight" for name in ATTENTION], "head.transform.dense.weight"]),
        (1, 1.0, 0.1, [f"{LAYER}.intermediate.dense.weight"]),
        (1, 1.0, 0.1, [f"{LAYER}.output.dense.weight"]),
        (
            0,
            0.5,
            0.1,
            [f"encoder.model.embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")],
        ),
        (
            0,
            0.5,
            0.0,
            [
                "encoder.model.embeddings.LayerNorm.weight",
                "encoder.model.embeddings.LayerNorm.bias",
                *[f"{LAYER}.{name}.bias" for name in ATTENTION],
                f"{LAYER}.attention.output.LayerNorm.weight",
                f"{LAYER}.attention.output.LayerNorm.bias",
                f"{LAYER}.intermediate.dense.bias",
                f"{LAYER}.output.dense.bias",
                f"{LAYER}.output.LayerNorm.weight",
                f"{LAYER}.output.LayerNorm.bias",
                "head.transform.dense.bias",
                "head.transform.LayerNorm.weight",
                "head.transform.LayerNorm.bias",
                "head.decoder.bias",
            ],
        ),
    ],
    (transformer, of_labels): [
        *[
            (stacked, lr, 0.1, [f"encoder.layers.{i}.{name}.weight"])
            for stacked, name in (
                (3, "attention.query_key_value"),
                (1, "attention.output"),
                (2, "feed_forward.input"),
                (1, "feed_forward.output"),
            )
            for i, lr in ((0, 0.5), (1, 1.0))
        ],
        (1, 7.0, 0.3, ["pool.score.weight"]),
        (0, 7.0, 0.3, ["output.weight"]),
        (0, 0.25, 0.0, ["encoder.layers.0.feed_forward_norm.weight"]),
        (
            0,
            0.5,
            0.0,
            [
                "encoder.layers.1.attention_norm.weight",
                "encoder.layers.1.attention.first_share",
                "encoder.layers.1.feed_forward_norm.weight",
                "encoder.final_norm.weight",
            ],
        ),
        (0, 7.0, 0.0, ["output.bias"]),
    ],
}


@pytest.mark.parametrize(("encoder", "task"), GROUPS, ids=lambda part: part.__name__)
def test_groups_and_their_parameters_keep_their_order(encoder, task, tmp_path):
    masker = Masker(
        Tokens(), Uniform(), Constant(0.3), Corruption(0.8, 0.1, 0.1), Vocabulary(60, 4, range(5, 60)), 0
    )
    torch.manual_seed(0)
    module = task(encoder(tmp_path), masker=masker, optimizer=optimizer, schedule=None, seed=0)
    if task is of_labels:
        module.finetuning.apply(module.encoder, 1.0)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    found = [
        (group["stacked"], group["lr"], group["weight_decay"], [names[id(p)] for p in group["params"]])
        for group in module.make_optimizer().param_groups
    ]
    assert found == GROUPS[encoder, task]
