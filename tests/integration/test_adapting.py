"""Continued pretraining: new tokens, adapters, frozen layers."""

import json

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from maskwright.core.errors import UserError
from maskwright.models.lora import merged
from maskwright.run.export import export
from maskwright.run.saved import SavedRun
from tests.conftest import compose_command
from tests.texts import make_text

ADAPT = ("experiment=adapt", "trainer.max_epochs=null", "trainer.max_steps=4", "data.evaluation_limit=32")


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """Texts with words that no tokenizer of the tests knows."""
    path = tmp_path_factory.mktemp("own") / "own.jsonl"
    texts = (f"The sleepland {make_text(seed, 3)} Sleeplands teacat." for seed in range(100))
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture
def adapt(run, own, hub_model):
    def train(*overrides, **given):
        start = [] if any(one.startswith("init_from=") for one in overrides) else [f"init_from={hub_model}"]
        return run(*ADAPT, f"data.source={own}", *start, *overrides, **given)

    return train


def rows_of(folder, name="bert.embeddings.word_embeddings.weight"):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")[name]


def unmoved(one, other):
    """Whether weights are the same, but for steps of the smallest rate of these tests."""
    return bool((one.double() - other.double()).abs().max() < 1e-20)


def same_weights(one, other):
    return all(torch.equal(ours, theirs) for ours, theirs in zip(one.parameters(), other.parameters(), strict=True))


def test_an_encoder_is_adapted_in_one_command(adapt, hub_model):
    result = adapt(
        "data.replay.source=pkg://gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
        "data.replay.limit=20",
        "data.replay.splits={train: train, validation: 0.3, test: 0.3}",
    )
    assert result.metrics["validation/replay/loss"] > 0
    assert type(result.trainer.optimizers[0]).__name__ == "AdamW"


def test_an_encoder_of_this_package_is_adapted_and_keeps_its_dropout(adapt, run):
    first = run("model.dropout=0.25", "trainer.max_steps=1")
    again = adapt(f"init_from={first.run_dir}", "trainer.max_steps=1").task
    assert type(again.encoder) is type(first.task.encoder)
    assert again.encoder.embedding_dropout.p == 0.25
    other = adapt(f"init_from={first.run_dir}", "trainer.max_steps=1", "model.dropout=0.5").task
    assert other.encoder.embedding_dropout.p == 0.5


@pytest.mark.parametrize("task", [("span_boundary",), ("rtd", "task.all_tokens=true")])
def test_every_head_that_predicts_tokens_has_rows_for_new_ones(adapt, task):
    result = adapt("tokenizer.extend=3", f"task={task[0]}", *task[1:], "trainer.max_steps=2")
    own = result.task
    assert len(own.vocabulary_heads) == 2
    for head in own.vocabulary_heads:
        assert head.decoder.weight is own.encoder.embedding.weight
        assert len(head.decoder.bias) == len(result.data.tokenizer)


def test_a_new_model_counts_new_tokens_too(run, own, hub_model):
    tokens = ("tokenizer=pretrained", f"tokenizer.name={hub_model}", "tokenizer.extend=3")
    result = run(
        f"data.source={own}", *tokens, "trainer.max_steps=1", "optimizer.lr=1e-30", "optimizer.adamw_lr=1e-30"
    )
    rows = result.task.encoder.embedding.weight
    extension = result.data.tokenizer.extension
    assert len(rows) == len(result.data.tokenizer)
    new = rows[extension.first : extension.end].detach()
    assert torch.linalg.matrix_rank(new) == 3  # each is like none of the others


def test_new_tokens_begin_as_means_and_are_saved_with_the_model(adapt, hub_model, tmp_path, capsys):
    result = adapt(
        "tokenizer.extend=3", "optimizer.lr=1e-30", "optimizer.weight_decay=0", run_dir=tmp_path / "first"
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "3 words were added to the tokenizer (sleeplands, sleepland, teacat, …)" in said
    assert "3 new tokens begin as the means" in said
    extension = result.data.tokenizer.extension
    before, task = rows_of(hub_model), result.task
    after = task.encoder.embedding.weight
    assert len(after) == len(before) + 3 == len(result.data.tokenizer)
    assert task.head.decoder.weight is after
    bias = rows_of(hub_model, "cls.predictions.bias")
    for number, pieces in enumerate(extension.pieces):
        mean = before[list(pieces)].mean(0)
        torch.testing.assert_close(after[extension.first + number], mean)
        torch.testing.assert_close(task.head.decoder.bias[extension.first + number], bias[list(pieces)].mean())
    # opened again, resumed, and as the start of another run
    saved = SavedRun.open(tmp_path / "first")
    assert same_weights(saved.task, task)
    assert saved.tokenizer.extension == extension
    again = adapt(
        f"init_from={tmp_path / 'first'}", "optimizer.lr=1e-30", "trainer.max_steps=1", run_dir=tmp_path / "again"
    )
    torch.testing.assert_close(again.task.encoder.embedding.weight, after)
    with pytest.raises(UserError, match="was extended before, by 3 words"):
        adapt(f"init_from={tmp_path / 'first'}", "tokenizer.extend=2")


def test_an_extended_model_is_opened_by_transformers(adapt, own, tmp_path):
    result = adapt("tokenizer.extend=3", "trainer.max_steps=3", run_dir=tmp_path / "run")
    text = f"The [MASK] teacat, {make_text(1)[:60]}"
    export(compose_command("export", f"run={tmp_path / 'run'}", f"output={tmp_path / 'hf'}", "limit=8"))
    model, tokenizer = (
        AutoModelForMaskedLM.from_pretrained(tmp_path / "hf"),
        AutoTokenizer.from_pretrained(tmp_path / "hf"),
    )
    given = tokenizer(text, return_tensors="pt")
    assert (given["input_ids"] >= result.data.tokenizer.extension.first).sum() == 1
    saved = SavedRun.open(tmp_path / "run")
    ours = saved.head(saved.encoder(given["input_ids"]))
    with torch.inference_mode():
        torch.testing.assert_close(model(**given).logits, ours, atol=1e-5, rtol=1e-5)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("more", [[], ["task.finetuning.freeze=1"], ["model.lora.rank=2"]])
def test_new_tokens_learn_alone_at_first(adapt, tmp_path, more):
    given = ["tokenizer.extend=3", "optimizer.weight_decay=0.5", "schedule=constant", "optimizer.lr=1e-2", *more]
    result = adapt(
        *given, "task.finetuning.new_tokens_first=0.5", "trainer.max_steps=2", run_dir=tmp_path / "first"
    )
    start = adapt(*given, "optimizer.lr=1e-30", "trainer.max_steps=1", "seed=1", run_dir=tmp_path / "start")
    first = result.data.tokenizer.extension.first
    one = torch.load(tmp_path / "first" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    before, after = start.task.state_dict(), one
    moved = {name for name in before if not unmoved(before[name], after[name])}
    embedding = next(name for name in before if name.endswith("word_embeddings.weight"))
    assert not torch.equal(before[embedding][first:], after[embedding][first:])
    if more:  # the embeddings of other tokens are frozen throughout
        assert unmoved(before[embedding][:first], after[embedding][:first])
    else:
        assert not torch.equal(before[embedding][:first], after[embedding][:first])
    if "model.lora.rank=2" in more:
        assert all("lora_" in name or name == embedding or name.startswith("head.") for name in moved)
    alone = adapt(*given, "task.finetuning.new_tokens_first=0.9", "trainer.max_steps=2", run_dir=tmp_path / "alone")
    for name, weight in alone.task.state_dict().items():
        if torch.is_floating_point(weight) and len(weight.shape) and weight.shape[0] == len(alone.data.tokenizer):
            assert unmoved(weight[:first], before[name][:first])
            assert not torch.equal(weight[first:], before[name][first:])
        else:
            assert unmoved(weight, before[name]), name


def test_the_rows_of_added_tokens_need_added_tokens(adapt):
    with pytest.raises(UserError, match="task.finetuning.new_tokens_first is set, but this run adds no tokens"):
        adapt("task.finetuning.new_tokens_first=0.5")


@pytest.mark.parametrize(
    "given",
    [
        ["tokenizer.extend=3", "task.finetuning.new_tokens_first=0.5"],
        ["model.lora.rank=2", "model.lora.dropout=0.1", "tokenizer.extend=2"],
        ["task.finetuning.freeze=1", "task.finetuning.layer_decay=0.9"],
    ],
)
def test_adapted_runs_resume_exactly(adapt, tmp_path, given):
    given = [*given, "schedule=constant", "trainer.val_check_interval=2", "model.dropout=0.1"]
    whole = adapt(*given, "trainer.max_steps=4", run_dir=tmp_path / "whole")
    adapt(*given, "trainer.max_steps=2", "task.finetuning.new_tokens_first=0", run_dir=tmp_path / "none")
    interrupted = tmp_path / "whole" / "checkpoints" / "previous.ckpt"
    assert SavedRun.open(interrupted).step == 2
    again = adapt(*given, "trainer.max_steps=4", f"ckpt_path={interrupted}", run_dir=tmp_path / "again")
    assert same_weights(whole.task, again.task)
    assert whole.metrics["test/loss"] == again.metrics["test/loss"]


def test_adapters_merge_into_the_same_model(adapt, tmp_path):
    result = adapt("model.lora.rank=4", "model.lora.alpha=32", "optimizer.lr=1e-2", run_dir=tmp_path / "run")
    task = result.task.eval()
    names = [name for name, own in task.encoder.named_parameters() if own.requires_grad]
    assert names
    assert all("lora_" in name for name in names)
    ids = torch.arange(40).view(2, 20)
    saved = SavedRun.open(tmp_path / "run")
    assert not any("lora" in name for name in saved.task.state_dict())
    assert saved.head.decoder.weight is saved.encoder.embedding.weight
    with torch.inference_mode():
        with_adapters = task.head(task.encoder(ids))
        torch.testing.assert_close(saved.head(saved.encoder(ids)), with_adapters, atol=1e-5, rtol=1e-5)
        # as peft merges
        for module in task.encoder.modules():
            if hasattr(module, "lora_A"):
                module.merge()
        torch.testing.assert_close(task.head(task.encoder(ids)), with_adapters, atol=1e-5, rtol=1e-5)
    export(compose_command("export", f"run={tmp_path / 'run'}", f"output={tmp_path / 'hf'}", "limit=8"))
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "hf")
    torch.testing.assert_close(model(ids).logits, with_adapters, atol=1e-5, rtol=1e-5)
    # another run starts from the merged weights, with adapters of its own
    again = adapt(
        f"init_from={tmp_path / 'run'}",
        "model.lora.rank=2",
        "optimizer.lr=1e-30",
        "trainer.max_steps=1",
        run_dir=tmp_path / "next",
    )
    again = again.task.eval()
    torch.testing.assert_close(again.head(again.encoder(ids)), with_adapters, atol=1e-5, rtol=1e-5)


def test_a_classifier_learns_by_adapters(run, reviews, hub_model, tmp_path):
    given = [
        "task=classification",
        "data=csv",
        f"data.source={reviews}",
        f"init_from={hub_model}",
        "model=pretrained",
    ]
    given += [
        "model.name=${init_from}",
        "model.lora.rank=4",
        "model.lora.targets=[query,value]",
        "trainer.max_steps=3",
    ]
    result = run(*given, run_dir=tmp_path / "run")
    names = [name for name, own in result.task.named_parameters() if own.requires_grad]
    assert {name.split(".")[0] for name in names} == {"encoder", "output"}
    assert all(".query." in name or ".value." in name for name in names if name.startswith("encoder."))
    saved = SavedRun.open(tmp_path / "run")
    ids = torch.arange(40).view(2, 20)
    with torch.inference_mode():
        torch.testing.assert_close(saved.encoder(ids), result.task.eval().encoder(ids), atol=1e-5, rtol=1e-5)


def test_our_transformer_takes_adapters(run, tmp_path):
    run("trainer.max_steps=2", run_dir=tmp_path / "first")
    given = [f"init_from={tmp_path / 'first'}", "model.lora.rank=2", "model.lora.also=[norm]", "optimizer.lr=0.05"]
    result = run(*given, "trainer.max_steps=3", run_dir=tmp_path / "run")
    task, saved = result.task.eval(), SavedRun.open(tmp_path / "run")
    ids, positions = torch.arange(40).view(2, 20), torch.tensor([[1, 2], [3, 3]])
    with torch.inference_mode():
        for asked in (None, positions):  # the last layer computes only what is asked for
            expected = saved.task.encoder(ids, None, asked)
            torch.testing.assert_close(task.encoder(ids, None, asked), expected, atol=1e-5, rtol=1e-5)
    assert any("lora_B" in name and own.abs().sum() > 0 for name, own in task.named_parameters())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["model.lora.rank=2", "model.lora.targets=[q_proj]"],
            "no linear layer of Pretrained is called q_proj. They are called: self.query",
        ),
        (["model.lora.rank=2", "model.lora.also=[foo]"], "no weight of Pretrained is called foo"),
        (["model.lora.rank=0"], "model.lora.rank=0 is not a whole number of at least 1|model.lora.rank"),
        (["model.lora.dropout=2"], "model.lora.dropout"),
        (["task.finetuning.freeze=9"], "finetuning.freeze is 9, but the encoder has 2 layers"),
    ],
)
def test_what_a_model_does_not_have_is_refused(adapt, given, message):
    with pytest.raises(UserError, match=message):
        adapt(*given)


def test_only_upper_layers_learn(adapt, hub_model):
    result = adapt("task.finetuning.freeze=1", "optimizer.lr=0.01", "trainer.max_steps=2")
    layers = result.task.encoder.layers_in_order()
    before = AutoModelForMaskedLM.from_pretrained(hub_model).bert
    assert same_weights(layers[0], before.encoder.layer[0])
    assert not same_weights(layers[1], before.encoder.layer[1])
    assert torch.equal(result.task.head.decoder.weight, before.embeddings.word_embeddings.weight)


def test_weights_without_adapters_merge_into_themselves():
    from maskwright.models.lora import Lora

    state = {
        "a.weight": torch.ones(2, 2),
        "b.base_layer.weight": torch.ones(2, 2),
        "b.base_layer.bias": torch.ones(2),
    }
    state |= {"b.lora_A.default.weight": torch.ones(1, 2), "b.lora_B.default.weight": torch.ones(2, 1)}
    found = merged(state, Lora(rank=1, alpha=3.0))
    assert {*found} == {"a.weight", "b.weight", "b.bias"}
    assert found["b.weight"][0, 0] == 4
