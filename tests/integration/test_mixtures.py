"""Training on several sources in given shares, and text that is replayed."""

import json

import numpy as np
import pytest
import torch

from maskwright.core.errors import UserError
from maskwright.run.evaluate import evaluate
from maskwright.run.train import prepare
from maskwright.settings.commands import TrainSettings
from tests.conftest import compose_command, compose_train
from tests.texts import make_text

SPLITS = "{train: train, validation: 0.2, test: 0.2}"


@pytest.fixture(scope="session")
def general(tmp_path_factory):
    path = tmp_path_factory.mktemp("general") / "general.jsonl"
    path.write_text("".join(json.dumps({"text": make_text(seed)}) + "\n" for seed in range(1000, 1060)))
    return path


@pytest.fixture
def mixed(films, general):
    return [
        "data=mixture",
        f"data.sources.imdb.source={films}",
        f"data.sources.wikipedia.source={general}",
        f"data.sources.wikipedia.splits={SPLITS}",
    ]


def data_of(cache, *overrides):
    given = (f"data.cache_dir={cache}", "preparation.workers=1", "data.block_size=32", "data.batch_size=10")
    settings = compose_train(*overrides, *given, "tokenizer.vocabulary_size=300", "hardware=cpu", "run_dir=x")
    from omegaconf import OmegaConf

    return prepare(TrainSettings.parse(OmegaConf.to_container(settings, resolve=True)))[0]


def first_batches(data, number):
    return [batch for batch, _ in zip(data.train_dataloader(), range(number), strict=False)]


def test_each_batch_holds_the_shares(mixed, cache):
    weights = ["data.sources.imdb.weight=1", "data.sources.wikipedia.weight=4"]
    data = data_of(cache, *mixed, *weights)
    of_imdb = data.blocks["train"].sizes[0]
    for batch in first_batches(data, 20):
        assert (batch["examples"] < of_imdb).sum() == 2
    # other weights take nothing but another order
    assert data.seconds["tokens"] > 0
    again = data_of(cache, *mixed, "data.sources.imdb.weight=4", "data.sources.wikipedia.weight=1")
    assert again._folder == data._folder
    assert (first_batches(again, 1)[0]["examples"] < of_imdb).sum() == 8
    # a block is of one source
    assert len(again.blocks["train"]) == sum(again.blocks["train"].sizes)
    starts = [data.texts("train")[number].split()[0] in ("neg", "pos", "unsup") for number in (0, -1)]
    assert starts == [True, False]


def test_a_mixture_of_sizes_is_what_it_was(mixed, cache):
    data = data_of(cache, *mixed)
    assert data.shares == {}
    assert len(data.blocks["train"]) == -(-len(data.tokens["train"].ids) // 30)


def test_metrics_of_sources_average_to_the_total(run, mixed, tmp_path):
    result = run(*mixed, "data.temperature=3", "objective=validation/wikipedia/loss", "trainer.max_steps=2")
    metrics, blocks = result.metrics, result.data.blocks["test"]
    assert "best/validation/wikipedia/loss" in metrics
    assert metrics["test/imdb/perplexity"] == pytest.approx(np.exp(metrics["test/imdb/loss"]), rel=1e-4)
    low, high = sorted([metrics["test/imdb/loss"], metrics["test/wikipedia/loss"]])
    assert low <= metrics["test/loss"] <= high
    assert min(blocks.sizes) > 0


def test_runs_with_weights_resume_exactly(run, mixed, tmp_path):
    mixed += ["data.sources.imdb.weight=1", "data.sources.wikipedia.weight=2", "data.batch_size=6"]
    mixed += ["schedule=constant", "mask.ratio=0.2"]
    whole = run(*mixed, "trainer.max_steps=6", run_dir=tmp_path / "whole")
    run(*mixed, "trainer.max_steps=3", run_dir=tmp_path / "part")
    resumed = [*mixed, "trainer.max_steps=6", f"ckpt_path={tmp_path / 'part'}"]
    part = run(*resumed, "hardware.accumulate_grad_batches=2", run_dir=tmp_path / "in-two")
    assert part.metrics["test/loss"] == pytest.approx(whole.metrics["test/loss"], abs=1e-5)
    again = run(*resumed, run_dir=tmp_path / "again")
    for ours, theirs in zip(whole.task.parameters(), again.task.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_replayed_text_is_evaluated_apart(run, corpus, general, tmp_path, capsys):
    replay = [f"data.replay.source={general}", f"data.replay.splits={SPLITS}", "data.replay.share=0.25"]
    with_replay = run(
        *replay, "optimizer=sgd", "optimizer.lr=1e-30", "trainer.max_steps=2", run_dir=tmp_path / "first"
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "25.0% of the training is replay" in said
    assert "replay: loss" in said
    metrics = with_replay.metrics
    assert {"validation/replay/loss", "test/replay/accuracy"} <= {*metrics}
    # the other metrics are of the text that is learned alone
    data = with_replay.data
    assert data.evaluated_sources("test") == ["replay"]
    assert data.steps(1) == -(-data.blocks["train"].sizes[0] / 0.75 // 8)
    evaluated = evaluate(
        compose_command(
            "evaluate", f"run={tmp_path / 'first'}", "split=test", "hardware=cpu", "preparation.workers=1"
        )
    )
    assert evaluated["test/loss"] == pytest.approx(metrics["test/loss"], abs=1e-6)
    assert evaluated["test/replay/loss"] == pytest.approx(metrics["test/replay/loss"], abs=1e-6)
    # other data is evaluated without it
    other = evaluate(
        compose_command(
            "evaluate",
            f"run={tmp_path / 'first'}",
            "split=test",
            "hardware=cpu",
            "preparation.workers=1",
            "data=text",
            f"data.source={general}",
            f"data.splits={SPLITS}",
        )
    )
    assert "test/replay/loss" not in other
    assert other["test/loss"] == pytest.approx(metrics["test/replay/loss"], abs=1e-5)


def test_a_source_may_not_have_the_name_of_a_mask(run, mixed):
    with pytest.raises(UserError, match="evaluation_masks names imdb"):
        run(*mixed, "+mask@evaluation_masks.imdb=span")


def test_labels_are_not_replayed(run, reviews, corpus):
    with pytest.raises(UserError, match="data.replay to task=mlm|Could not override|data.replay"):
        run("task=classification", "data=csv", f"data.source={reviews}", f"+data.replay.source={corpus}")
