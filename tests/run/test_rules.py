"""Rules between hardware and the rest of an experiment."""

import pytest
from omegaconf import OmegaConf

from maskwright.core.errors import UserError
from maskwright.run import rules
from maskwright.settings.commands import TrainSettings
from tests.conftest import compose_train


def settings(*overrides: str) -> TrainSettings:
    return TrainSettings.parse(OmegaConf.to_container(compose_train("run_dir=unused", *overrides), resolve=True))


FSDP = ("hardware=fsdp", "hardware.accelerator=cpu")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=lstm"], "LSTM, only with model=transformer"),
        (["optimizer=sgd"], r"maskwright\.optim\.sgd, only with optimizer=muon"),
        (["hardware.precision=16-mixed"], r"hardware\.precision=16-mixed.*bf16-mixed"),
        (["trainer.gradient_clip_algorithm=value"], r"gradient_clip_algorithm=value; set norm"),
        (["hardware.compile=true"], r"hardware\.compile=true"),
        (
            ["task=classification", "data=csv", "data.source=x", "task.finetuning.gradual_unfreezing=0.5"],
            r"task\.finetuning\.gradual_unfreezing",
        ),
    ],
)
def test_what_cannot_be_sharded_is_refused(overrides, message):
    with pytest.raises(UserError, match=message):
        rules.weights_can_be_sharded(settings(*FSDP, *overrides))
    rules.weights_can_be_sharded(settings(*FSDP, *overrides, "hardware.strategy=ddp"))
    rules.weights_can_be_sharded(settings(*FSDP, *overrides, "hardware.devices=1"))


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "finetuning"])
def test_the_transformer_can_be_sharded(optimizer):
    rules.weights_can_be_sharded(settings(*FSDP, f"optimizer={optimizer}"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model=hmm", "optimizer=adamw"],
            r"HMM learns probabilities from counts, which excludes .*adamw; leave the",
        ),
        (
            ["model=ngram", "trainer.gradient_clip_val=1.0"],
            r"NGram .* trainer\.gradient_clip_val=1\.0; set it to null",
        ),
        (["model=hmm", "hardware.precision=bf16-true"], r"hardware\.precision=bf16-true; set 32-true"),
        (
            ["model=hmm", "task=classification", "optimizer=em", "data=csv", "data.source=x"],
            r"excludes task=Classification; set task=mlm",
        ),
        (
            ["model=lstm", "optimizer=em"],
            r"optimizer=em learns models of counts alone, and LSTM learns from gradients",
        ),
    ],
)
def test_models_of_counts_and_em_belong_together(overrides, message):
    with pytest.raises(UserError, match=message):
        rules.counts_are_learned_by_em(settings(*overrides))


@pytest.mark.parametrize("model", ["hmm", "ngram", "transformer"])
def test_a_model_chooses_how_it_learns(model):
    rules.counts_are_learned_by_em(settings(f"model={model}"))


def test_a_batch_is_shared_by_the_devices_of_all_nodes():
    rules.a_batch_can_be_shared(settings("data.batch_size=8", "hardware.devices=2", "hardware.nodes=4"))
    numbers = r"data\.batch_size=8 blocks.*by 6 devices \(hardware\.devices=2, hardware\.nodes=3\).*multiple of 6"
    with pytest.raises(UserError, match=numbers):
        rules.a_batch_can_be_shared(settings("data.batch_size=8", "hardware.devices=2", "hardware.nodes=3"))


def test_slurm_says_how_many_devices_a_job_has(monkeypatch):
    assert (settings("hardware=slurm").hardware.devices, settings("hardware=slurm").hardware.nodes) == (1, 1)
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    monkeypatch.setenv("SLURM_NNODES", "2")
    assert (settings("hardware=slurm").hardware.devices, settings("hardware=slurm").hardware.nodes) == (4, 2)
