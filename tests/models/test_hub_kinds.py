"""Kinds of hub models that ask for something of their own: attention kernels, files of tokenizers, code."""

import io
import json

import numpy as np
import pytest
import sentencepiece
import torch
import transformers

from maskwright.core.errors import UserError
from maskwright.models import Pretrained
from maskwright.run.evaluate import evaluate
from maskwright.text.tokenizer import Pretrained as PretrainedTokenizer
from maskwright.text.tokenizer import Trained
from tests.conftest import compose_command
from tests.models.families import save_tiny
from tests.texts import make_text

VOCABULARY = 120
ROWS = {  # settings of a config, and a length of rows at which another code path begins
    "big_bird": ({"block_size": 4, "num_random_blocks": 1, "attention_type": "block_sparse"}, 50),
    "deberta-v2": ({"conv_kernel_size": 3, "conv_act": "gelu", "relative_attention": True}, 20),
}


@pytest.mark.parametrize("family", ROWS)
def test_padded_rows_are_read_as_transformers_reads_them(tmp_path, family):
    """Both subtract the mask from 1, which a bool mask does not allow."""
    changes, length = ROWS[family]
    theirs = save_tiny(family, tmp_path, **changes)
    encoder = Pretrained(VOCABULARY, str(tmp_path)).eval()
    ids = torch.randint(6, VOCABULARY, (2, length))
    seen = torch.arange(length) < torch.tensor([[length], [length - 7]])
    with torch.no_grad():
        np.random.seed(0)  # noqa: NPY002  which BigBird draws blocks with
        expected = theirs.base_model(ids, attention_mask=seen.long()).last_hidden_state
        np.random.seed(0)  # noqa: NPY002
        found = encoder(ids, seen)
    torch.testing.assert_close(found[seen], expected[seen])
    if family == "big_bird":
        assert theirs.base_model.attention_type == "block_sparse"  # it was not too short for it


def write_sentencepiece(folder):
    """A `spm.model` alone, as microsoft/deberta-v3-base has it."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([make_text(seed) for seed in range(60)]),
        model_writer=model,
        vocab_size=80,
        **{f"{role}_id": number for number, role in enumerate(("pad", "bos", "eos", "unk"))},
        **{"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"},
        minloglevel=2,
    )
    (folder / "spm.model").write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def write_wordpiece(folder):
    Trained("wordpiece", 120, lowercase=True).make(lambda: iter([[make_text(s) for s in range(60)]])).save(folder)


@pytest.mark.parametrize(
    ("family", "write", "changes"),
    [
        ("deberta-v2", write_sentencepiece, {"pad_token_id": 0}),
        ("funnel", write_wordpiece, {}),
    ],
)
def test_whole_runs_resume_and_are_evaluated(run, tmp_path, family, write, changes):
    folder = tmp_path / "model"
    save_tiny(family, folder, **changes)
    write(folder)
    given = ("model=pretrained", f"model.name={folder}", "tokenizer=pretrained", "trainer.val_check_interval=2")
    whole = run(*given, "trainer.max_steps=4", run_dir=tmp_path / "whole")
    half = run(*given, "trainer.max_steps=2", run_dir=tmp_path / "half")
    again = run(*given, "trainer.max_steps=4", f"ckpt_path={half.run_dir}", run_dir=tmp_path / "again")
    assert again.metrics["test/loss"] == whole.metrics["test/loss"]
    found = evaluate(compose_command("evaluate", f"run={whole.run_dir}", "checkpoint=last", "hardware=cpu"))
    assert found["test/loss"] == pytest.approx(whole.metrics["test/loss"], rel=1e-5)


def test_a_sentencepiece_model_alone_is_a_tokenizer(tmp_path):
    theirs = write_sentencepiece(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "deberta-v2"}')
    found = PretrainedTokenizer(str(tmp_path)).make(lambda: iter(()))
    assert found.special == {role: f"[{role.upper()}]" for role in ("pad", "unk", "cls", "sep", "mask")}
    text = make_text(3)
    assert found.encode([text])[0][0].tolist() == theirs.encode(text)


VOCAB = "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
WORDS = json.dumps({"<s>": 0, "</s>": 1, "<pad>": 2, "<unk>": 3, "<special1>": 4, "a</w>": 5, "b": 6})


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("roformer", {"vocab.txt": VOCAB}),
        ("xlm", {"vocab.json": WORDS, "merges.txt": "b a</w> 1\n"}),
        ("flaubert", {"vocab.json": WORDS, "merges.txt": "b a</w> 1\n"}),
        ("tapas", {"vocab.txt": VOCAB}),
    ],
)
def test_tokenizers_of_python_code_are_refused_with_what_would_help(tmp_path, kind, files):
    for name, text in {"config.json": json.dumps({"model_type": kind}), **files}.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=r"has no fast version.* Python .*with a tokenizer\.json") as refused:
        PretrainedTokenizer(str(tmp_path)).make(lambda: iter(()))
    assert "pip install" not in str(refused.value)  # which would end at the same refusal
    write_wordpiece(tmp_path)
    assert PretrainedTokenizer(str(tmp_path)).make(lambda: iter(())).has_mask


CODE = """
import torch
from transformers import BertConfig, BertModel
class OwnConfig(BertConfig):
    model_type = 'own'
class OwnModel(BertModel):
    config_class = OwnConfig
    def forward(self, input_ids=None, {more}attention_mask=None, **given):
        {first}
        return super().forward(input_ids, attention_mask, **given)
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ({"more": "bbox=None, ", "first": "bbox.shape"}, "of tokens alone: AttributeError"),
        ({"more": "", "first": "assert input_ids.shape[1] < 20, 'too long'"}, "of 32 tokens: AssertionError: too"),
    ],
)
def test_a_model_that_cannot_read_the_rows_is_refused_before_data_is_prepared(run, tmp_path, code, reason):
    folder = tmp_path / "model"
    config = transformers.BertConfig(
        **{"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"intermediate_size": 16, "pad_token_id": 0},
    )
    transformers.BertModel(config).save_pretrained(folder)
    write_wordpiece(folder)
    (folder / "own.py").write_text(CODE.format(**code))
    classes = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "own", "auto_map": classes}))
    given = ("model=pretrained", f"model.name={folder}", "tokenizer=pretrained", "model.trust_remote_code=true")
    with pytest.raises(UserError, match=rf"model\.name='.*model' does not .*{reason}"):
        run(*given, f"data.cache_dir={tmp_path}/cache")
    assert not (tmp_path / "cache").exists()


def test_the_tokenizer_of_a_model_that_does_not_open_is_named(run, tmp_path, hub_model):
    folder = tmp_path / "model"
    save_tiny("bert", folder)
    (folder / "tokenizer.json").write_text("{}")
    given = ("model=pretrained", f"model.name={folder}", "tokenizer=pretrained", f"tokenizer.name={hub_model}")
    with pytest.raises(UserError, match="has its own tokenizer, which does not open"):
        run(*given)
