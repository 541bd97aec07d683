"""Training runs as users start them, from the config to the run directory."""

import csv
import errno
import json
import math
import signal
import time
from functools import partialmethod
from pathlib import Path

import pytest
import torch
from lightning import Callback, LightningModule
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maskwright.callbacks import Checkpoints, NonFiniteLossError
from maskwright.core.errors import Interrupted, UserError
from maskwright.models.layers.bfloat16_attention import _Attention
from maskwright.tasks import MaskedLanguageModeling


class Losses(Callback):
    """Records the exact training losses by step."""

    def __init__(self):
        self.losses: dict[int, float] = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, *_):
        micro_batches = trainer.fit_loop.epoch_loop.batch_progress.total.ready
        step = -(-micro_batches // trainer.accumulate_grad_batches)
        self.losses[step] = self.losses.get(step, 0.0) + float(outputs["loss"].double())


KEEP = "+callbacks.losses._target_=tests.integration.test_train.Losses"


def losses(result) -> dict[int, float]:
    return next(c for c in result.trainer.callbacks if type(c).__name__ == "Losses").losses


def test_a_run_directory_is_complete(run, tmp_path, capsys):
    result = run("logger=default", pictures=True)
    written = {str(path.relative_to(result.run_dir)) for path in result.run_dir.rglob("*") if path.is_file()}
    assert {
        "config.yaml",
        "summary.json",
        "metrics.csv",
        "losses.png",
        "masks.png",
        "tokenizer/tokenizer.json",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
    } <= written
    assert any(name.startswith("tensorboard/events") for name in written)
    for name in ("losses.png", "masks.png"):
        assert (result.run_dir / name).read_bytes().startswith(b"\x89PNG")
    assert EventAccumulator(str(result.run_dir / "tensorboard")).Reload().Tags()["images"] == ["masks"]

    summary = json.loads((result.run_dir / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert summary["counts"]["steps"] == 6
    assert summary["metrics"]["test/perplexity"] == pytest.approx(
        math.exp(summary["metrics"]["test/loss"]), rel=1e-5
    )
    assert 0 < summary["metrics"]["test/accuracy"] < 1
    assert summary["tokens_per_second"] > 0
    assert 0 < summary["utilization"] < 2
    assert 0 <= summary["data_wait"] < 1
    assert summary["padding"] == 0
    assert summary["versions"]["torch"] == torch.__version__

    rows = list(csv.DictReader((result.run_dir / "metrics.csv").open()))
    names = {name for row in rows for name, value in row.items() if value}
    assert {
        "train/loss",
        "train/accuracy",
        "train/learning_rate",
        "train/tokens_per_second",
        "train/utilization",
        "train/data_wait",
        "train/padding",
        "validation/loss",
        "test/loss",
    } <= names

    shown = capsys.readouterr().out
    for part in (
        "unigram entropy",
        "Test: loss",
        "perplexity",
        "masked accuracy",
        "[MASK]",
        str(result.run_dir),
    ):
        assert part in shown


def test_runs_depend_on_the_seed_alone(run, tmp_path):
    first = losses(run(KEEP, run_dir=tmp_path / "a"))
    assert len(first) == 6
    assert losses(run(KEEP, run_dir=tmp_path / "b")) == first
    assert losses(run(KEEP, "seed=2", run_dir=tmp_path / "c")) != first


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("model.dropout=0.1", "schedule=cosine"),
        ("hardware.accumulate_grad_batches=2", "data.batch_size=16", "optimizer=sgd"),
        ("hardware.workers=1", "mask=token", "mask.ratio=0.3"),
        ("mask=adaptive", "mask.weights.every=3", "hardware.accumulate_grad_batches=2", "data.batch_size=16"),
        ("mask=span", "mask/ratio=linear", "evaluation_mask.ratio=0.2"),
    ],
    ids=["plain", "dropout", "accumulate", "workers", "adaptive", "span"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(run, tmp_path, overrides):
    """The losses are bitwise the same, resumed between and at validations, within an epoch and across its end."""
    # 30 documents make about 125 blocks of 32 tokens, an epoch of less than 16 steps
    settings = (
        KEEP,
        "data.limit=30",
        "data.splits.validation=0.1",
        "data.splits.test=0.1",
        "trainer.val_check_interval=4",
        "trainer.max_steps=20",
        *overrides,
    )
    whole = run(*settings, run_dir=tmp_path / "whole")
    resuming: tuple[str, ...] = ()
    for stop in (7, 16):
        stopped = tmp_path / f"stopped-{stop}"
        callback = f"+callbacks.stop={{_target_: {__name__}.StopAt, step: {stop}}}"
        with pytest.raises(Stop):
            run(*settings, callback, *resuming, run_dir=stopped)
        resuming = (f"ckpt_path={stopped}",)
    resumed = run(*settings, *resuming, run_dir=tmp_path / "resumed")
    assert losses(resumed) == {step: loss for step, loss in losses(whole).items() if step > 16}
    assert resumed.metrics["test/loss"] == whole.metrics["test/loss"]
    assert whole.trainer.global_step * whole.data.batch_size > len(whole.data.blocks["train"])


class Stop(Exception):
    pass


class StopAt(Callback):
    """Does what Ctrl-C does, after a given step."""

    def __init__(self, step: int):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step == self.step and not trainer.fit_loop._should_accumulate():
            trainer.save_checkpoint(f"{trainer.default_root_dir}/../checkpoints/last.ckpt")
            raise Stop


def test_a_finished_run_can_be_extended(run, tmp_path):
    settings = (KEEP, "schedule=constant", "trainer.val_check_interval=4")
    whole = run(*settings, "trainer.max_steps=12", "schedule.warmup=0", run_dir=tmp_path / "whole")
    run(*settings, "trainer.max_steps=6", "schedule.warmup=0", run_dir=tmp_path / "short")
    longer = run(
        *settings,
        "trainer.max_steps=12",
        "schedule.warmup=0",
        f"ckpt_path={tmp_path}/short",
        run_dir=tmp_path / "long",
    )
    assert losses(longer) == {step: loss for step, loss in losses(whole).items() if step > 6}


PLAIN = (
    "optimizer=adamw",
    "schedule=linear",
    "mask.ratio=0.15",
    "model.initial_embeddings=random",
    "model.bigrams=0",
    "model.convolution=0",
    "model.query_key_norm=false",
    "model.value_residual=false",
)
GOLDEN = {
    PLAIN: [
        *(5.4374, 5.3829, 5.2617, 5.1855, 5.1616, 4.9779, 5.0135, 4.8563, 4.8836, 4.8167),
        *(4.6826, 4.6123, 4.5690, 4.5775, 4.4678, 4.4875, 4.3968, 4.4456, 4.4412, 4.4307),
    ],
    # no embeddings from counts: the last digits of factors of matrices differ between libraries, and the channels with
    # them
    ("model.initial_embeddings=random", "model.bigrams=0"): [
        *(5.4408, 5.2488, 4.8103, 4.6704, 4.3722, 4.1767, 4.2007, 4.0631, 4.0129, 4.0007),
        *(3.8066, 3.7668, 3.7473, 3.9040, 3.7856, 3.6621, 3.5724, 3.8636, 3.6595, 3.7040),
    ],
    ("model.initial_embeddings=random",): [
        *(2.2709, 2.2292, 1.7223, 1.7934, 1.3107, 1.6471, 1.3153, 1.3019, 1.3704, 1.3401),
        *(1.2123, 1.2341, 1.2958, 1.3834, 1.4389, 1.1782, 1.0602, 1.1949, 1.0459, 1.3755),
    ],
}


@pytest.mark.parametrize("recipe", GOLDEN, ids=["plain", "network", "counts"])
def test_golden_losses(run, recipe):
    """A change that is not about computation must not change these losses.

    Recorded on one thread of an AMD EPYC with torch 2.13; other machines round differently.
    """
    found = losses(run(KEEP, *recipe, "trainer.max_steps=20", "trainer.val_check_interval=20"))
    assert list(found.values()) == pytest.approx(GOLDEN[recipe], abs=2e-3)


def test_compiling_changes_neither_results_nor_names_of_weights(run, tmp_path, monkeypatch):
    # batches of one shape, for each of which a graph is traced
    small = ("trainer.max_steps=2", "model.layers=1", "data.evaluation_batch_size=8", "data.evaluation_limit=8")
    compile = torch.nn.Module.compile
    # the code that inductor writes takes a minute to compile, and is not ours
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(compile, backend="aot_eager"))
    plain = run(KEEP, *small, run_dir=tmp_path / "a")
    compiled = run(KEEP, *small, "hardware.compile=true", run_dir=tmp_path / "b")
    assert list(losses(compiled).values()) == pytest.approx(list(losses(plain).values()), abs=1e-3)
    state = torch.load(tmp_path / "b" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert state.keys() == plain.task.state_dict().keys()


@pytest.mark.parametrize("micro_batches", [1, 4])
def test_validation_by_time_falls_between_steps(run, micro_batches):
    result = run(
        "trainer.max_steps=60",
        "trainer.val_check_interval=00:00:00:01",
        f"hardware.accumulate_grad_batches={micro_batches}",
        "+callbacks.slow={_target_: tests.integration.test_train.Slow, seconds: 0.04, micro_batches: "
        f"{micro_batches}}}",
    )
    validated = [
        int(row["step"])
        for row in csv.DictReader((result.run_dir / "metrics.csv").open())
        if row.get("validation/loss")
    ]
    assert 1 < len(validated) < 30
    [slow] = (callback for callback in result.trainer.callbacks if isinstance(callback, Slow))
    assert len(slow.done) == len(validated)
    assert not any(done % micro_batches for done in slow.done)


class Slow(Callback):
    """Makes steps take time, and records after how many micro-batches validations began."""

    def __init__(self, seconds: float, micro_batches: int):
        self.seconds = seconds / micro_batches
        self.batches = 0
        self.done: list[int] = []

    def on_train_batch_start(self, *_):
        self.batches += 1
        time.sleep(self.seconds)

    def on_validation_start(self, *_):
        self.done.append(self.batches)


def test_the_end_by_max_time_is_told(run, tmp_path, capsys):
    for name, steps, told in (("a", 10**6, True), ("b", 3, False)):
        result = run(
            f"trainer.max_steps={steps}",
            "trainer.max_time=00:00:00:03",
            "trainer.val_check_interval=1000000",
            "+callbacks.slow={_target_: tests.integration.test_train.Slow, seconds: 0.01, micro_batches: 1}",
            run_dir=tmp_path / name,
        )
        said = f"trainer.max_time=00:00:00:03 ended the training after step {result.trainer.global_step}."
        assert (said in " ".join(capsys.readouterr().out.split())) is told
        summary = json.loads((result.run_dir / "summary.json").read_text())
        assert summary["ended_by_max_time"] is told
        assert summary["stopped_early"] is None


def test_tensorboard_gets_no_empty_hp_metric(run):
    result = run("trainer.max_steps=1", "logger=tensorboard")
    events = EventAccumulator(str(result.run_dir / "tensorboard")).Reload()
    assert "hp_metric" not in events.Tags()["scalars"]


def test_max_time_limits_a_run_and_drives_its_schedule(run):
    result = run("trainer.max_steps=-1", "trainer.max_time=00:00:00:04", "trainer.val_check_interval=1000000")
    steps = result.trainer.global_step
    assert steps > 10
    assert result.metrics["validation/loss"] > 0  # validated at its end
    rates = [
        float(row["train/learning_rate"])
        for row in csv.DictReader((result.run_dir / "metrics.csv").open())
        if row.get("train/learning_rate")
    ]
    assert max(rates) == pytest.approx(5e-3, rel=0.2)
    assert rates[-1] < 0.2 * max(rates)


def test_the_last_step_is_always_followed_by_a_validation(run):
    result = run("trainer.max_steps=5", "trainer.val_check_interval=3")
    validated = [
        int(row["step"])
        for row in csv.DictReader((result.run_dir / "metrics.csv").open())
        if row.get("validation/loss")
    ]
    assert validated == [2, 4]  # Lightning numbers steps from 0


class Break(Callback):
    """Makes the loss NaN from a step on."""

    def on_train_batch_start(self, trainer, pl_module: LightningModule, *_):
        if trainer.global_step == 4:
            with torch.no_grad():
                pl_module.encoder.final_norm.weight.fill_(float("nan"))


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(run):
    with pytest.raises(
        NonFiniteLossError, match=r"not finite at step 5.*last good checkpoint is .*last\.ckpt"
    ) as caught:
        run(
            f"+callbacks.break._target_={__name__}.Break",
            "trainer.max_steps=9",
            "trainer.val_check_interval=2",
        )
    run_dir = str(caught.value).split("checkpoint is ")[1].split("/checkpoints")[0]
    kept = torch.load(f"{run_dir}/checkpoints/last.ckpt", weights_only=True)
    assert kept["global_step"] == 4
    assert all(tensor.isfinite().all() for tensor in kept["state_dict"].values())
    summary = json.loads(Path(f"{run_dir}/summary.json").read_text())
    assert summary["status"] == "failed"
    assert "step 5" in summary["error"]


class RuinAtEnd(Callback):
    """Makes weights NaN after a step, when its loss has already been computed."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step == 4:
            with torch.no_grad():
                pl_module.encoder.final_norm.weight.fill_(float("nan"))


def test_weights_that_are_not_finite_are_never_saved(run, tmp_path):
    with pytest.raises(NonFiniteLossError, match=r"weights are not finite after step 4"):
        run(
            f"+callbacks.ruin._target_={__name__}.RuinAtEnd", "trainer.val_check_interval=2", run_dir=tmp_path / "a"
        )
    for name in ("best.ckpt", "last.ckpt"):
        kept = torch.load(tmp_path / "a" / "checkpoints" / name, weights_only=True)
        assert all(tensor.isfinite().all() for tensor in kept["state_dict"].values())
    json.loads((tmp_path / "a" / "summary.json").read_text(), parse_constant=lambda name: pytest.fail(name))


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_lower_precision_trains_on_the_same_masks(run, tmp_path, precision):
    plain = run(run_dir=tmp_path / "a")
    low = run(f"hardware.precision={precision}", run_dir=tmp_path / "b")
    assert low.metrics["test/loss"] == pytest.approx(plain.metrics["test/loss"], abs=0.1)


@pytest.mark.parametrize("of_hub", [False, True])
def test_models_of_the_hub_too_take_products_for_the_gradients_of_attention_in_bfloat16(
    run, hub_model, monkeypatch, of_hub
):
    calls = []
    backward = _Attention.backward
    monkeypatch.setattr(
        _Attention, "backward", staticmethod(lambda *inputs: [calls.append(1), backward(*inputs)][1])
    )
    chosen = [f"init_from={hub_model}", "model=pretrained", f"model.name={hub_model}"] if of_hub else []
    for precision, expected in (("32-true", 0), ("bf16-mixed", 2), ("bf16-true", 2)):
        calls.clear()
        run("hardware=cpu", f"hardware.precision={precision}", "trainer.max_steps=1", "model.dropout=0", *chosen)
        assert len(calls) == expected, precision  # one a layer


def test_evaluation_masks_do_not_depend_on_training_masks(run, tmp_path):
    shown = []
    for number, overrides in enumerate([(), ("seed=2",), ("mask=token", "mask.ratio=0.5"), ("mask.ratio=0.3",)]):
        result = run("trainer.max_steps=1", *overrides, run_dir=tmp_path / str(number))
        batch = next(iter(result.data.val_dataloader()))
        masked = result.task.evaluation_masker(batch)
        shown.append(masked.input_ids)
        assert masked.valid.sum() / (batch["words"] >= 0).sum() == pytest.approx(0.15, abs=0.02)
    assert all(torch.equal(ids, shown[0]) for ids in shown)


def test_a_run_can_be_resumed_with_other_micro_batches(run, tmp_path):
    settings = (KEEP, "trainer.max_steps=12", "trainer.val_check_interval=4")
    whole = run(*settings, run_dir=tmp_path / "whole")
    for stop in (4, 6):
        stopped = tmp_path / f"stopped-{stop}"
        with pytest.raises(Stop):
            run(*settings, f"+callbacks.stop={{_target_: {__name__}.StopAt, step: {stop}}}", run_dir=stopped)
        resumed = run(
            *settings, "hardware.accumulate_grad_batches=2", f"ckpt_path={stopped}", run_dir=tmp_path / f"on-{stop}"
        )
        found = losses(resumed)
        assert list(found) == list(range(stop + 1, 13))
        assert list(found.values()) == pytest.approx([losses(whole)[step] for step in found], abs=0.05)


class SignalInValidation(Callback):
    """Simulates Ctrl-C during a validation."""

    def on_validation_start(self, trainer, pl_module):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("interval", [3, 6])
def test_ctrl_c_during_a_validation_stops_the_run_after_it(run, tmp_path, interval):
    settings = (KEEP, f"trainer.val_check_interval={interval}")
    with pytest.raises(Interrupted, match=f"after step {interval}"):
        run(*settings, f"+callbacks.signal._target_={__name__}.SignalInValidation", run_dir=tmp_path / "a")
    assert torch.load(tmp_path / "a" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == interval
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["status"] == "interrupted"


def test_resuming_a_finished_run_without_more_steps_is_refused(run, tmp_path):
    run("trainer.max_steps=3", run_dir=tmp_path / "a")
    with pytest.raises(UserError, match=r"has trained 3 steps, and trainer\.max_steps=3 leaves nothing to do"):
        run("trainer.max_steps=3", f"ckpt_path={tmp_path}/a", run_dir=tmp_path / "b")


def test_a_full_device_leaves_the_previous_checkpoint(run, tmp_path, monkeypatch):
    save, calls = torch.save, []

    def save_until_full(checkpoint, path):
        calls.append(path)
        if len(calls) > 2:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(checkpoint, path)

    monkeypatch.setattr("maskwright.callbacks.checkpoints.torch.save", save_until_full)
    with pytest.raises(UserError, match="No space left on the device of run_dir"):
        run(run_dir=tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt"]
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 3


def test_checkpoints_contain_plain_containers(run):
    result = run("trainer.max_steps=3")
    checkpoint = torch.load(result.run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["config"]["data"]["block_size"] == 32
    assert isinstance(result.task, MaskedLanguageModeling)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.hidden_size=64"], r"another architecture: model\.hidden_size was 32 and is 64"),
        (["tokenizer.vocabulary_size=200"], r"trained with another tokenizer.*tokenizer\.name="),
        (["tokenizer=bpe", "tokenizer.vocabulary_size=300"], "trained with another tokenizer"),
        (["optimizer=sgd"], r"holds the state of maskwright\.optim\.muon"),
    ],
)
def test_resuming_with_another_model_tokenizer_or_optimizer_is_refused(run, tmp_path, overrides, message):
    run("trainer.max_steps=3", run_dir=tmp_path / "a")
    with pytest.raises(UserError, match=message):
        run(*overrides, f"ckpt_path={tmp_path}/a", run_dir=tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_resuming_lists_changed_settings(run, tmp_path, capsys):
    run("schedule=linear", "trainer.max_steps=3", run_dir=tmp_path / "a")
    run(
        "schedule=linear",
        "trainer.max_steps=6",
        "optimizer.lr=1e-3",
        "resume.allow=[optimizer]",
        f"ckpt_path={tmp_path}/a",
        run_dir=tmp_path / "b",
    )
    shown = capsys.readouterr().out
    assert "changed: optimizer.lr was 0.005 and is 0.001" in shown
    assert shown.count("changed:") == 1
    rows = list(csv.DictReader((tmp_path / "b" / "metrics.csv").open()))
    rates = [float(row["train/learning_rate"]) for row in rows if row["train/learning_rate"]]
    assert rates == pytest.approx([1e-3 * (1 - (p / 6 - 0.06) / 0.94) for p in (3.5, 4.5, 5.5)])


def test_missing_and_damaged_checkpoints_are_refused(run, tmp_path):
    with pytest.raises(UserError, match="there is no checkpoint"):
        run(f"ckpt_path={tmp_path}/none.ckpt")
    with pytest.raises(UserError, match="has a checkpoint yet"):
        run("ckpt_path=last", run_dir=tmp_path / "logs" / "mlm" / "2026-01-01" / "10-00-00")
    (tmp_path / "bad.ckpt").write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(UserError, match="is no checkpoint of this project, or a damaged one"):
        run(f"ckpt_path={tmp_path}/bad.ckpt")


def resume_and_ruin(run, first, settings, checkpoint, run_dir):
    """Returns a run that goes on from `first` and ruins the model, after which the best checkpoint is tested."""
    second = run(
        *settings,
        "trainer.max_steps=9",
        f"ckpt_path={checkpoint}",
        f"+callbacks.ruin._target_={__name__}.Ruin",
        run_dir=run_dir,
    )
    assert second.metrics["validation/loss"] > first.metrics["validation/loss"]
    assert second.metrics["test/loss"] == first.metrics["test/loss"]
    return second


def test_a_resumed_run_copies_the_best_checkpoint(run, tmp_path):
    # the resumed part ruins the model, so that the best checkpoint remains that of the first part
    settings = ("schedule=constant", "schedule.warmup=0", "trainer.val_check_interval=3")
    first = run(*settings, "trainer.max_steps=6", run_dir=tmp_path / "a")
    resume_and_ruin(run, first, settings, tmp_path / "a", tmp_path / "b")
    kept = {
        name: torch.load(tmp_path / "b" / "checkpoints" / f"{name}.ckpt", weights_only=True)["global_step"]
        for name in ("best", "last")
    }
    assert kept == {"best": 6, "last": 9}


class Ruin(Callback):
    """Makes the model much worse at every step."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        with torch.no_grad():
            pl_module.encoder.final_norm.weight.mul_(-3)


def test_a_moved_run_keeps_its_best_checkpoint(run, tmp_path):
    settings = ("schedule=constant", "schedule.warmup=0", "trainer.val_check_interval=3")
    first = run(*settings, "trainer.max_steps=6", run_dir=tmp_path / "a")
    for name in ("best", "last"):
        state = torch.load(tmp_path / "a" / "checkpoints" / f"{name}.ckpt", weights_only=True)["callbacks"]
        assert str(tmp_path) not in str(state)
    (tmp_path / "a").rename(tmp_path / "b")
    # a second run where the first one was: its files are not those of the first
    run(*settings, "seed=2", "trainer.max_steps=3", run_dir=tmp_path / "a")
    before = (tmp_path / "b" / "checkpoints" / "best.ckpt").read_bytes()
    second = resume_and_ruin(run, first, settings, tmp_path / "b", tmp_path / "b")
    assert second.metrics["best/validation/loss"] == first.metrics["best/validation/loss"]
    assert (tmp_path / "b" / "checkpoints" / "best.ckpt").read_bytes() == before
    assert not list((tmp_path / "b" / "checkpoints").glob("*-v1.ckpt"))


def test_a_best_checkpoint_of_whole_paths_is_kept_where_the_run_was_moved(run, tmp_path, monkeypatch):
    """As runs of versions before have it."""
    monkeypatch.setattr(Checkpoints, "state_dict", ModelCheckpoint.state_dict)
    first = run("trainer.max_steps=3", run_dir=tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    again = run(
        "trainer.max_steps=6",
        f"ckpt_path={tmp_path}/b",
        f"+callbacks.ruin._target_={__name__}.Ruin",
        run_dir=tmp_path / "b",
    )
    assert again.metrics["test/loss"] == first.metrics["test/loss"]


def test_a_fresh_run_does_not_start_from_what_a_restart_of_slurm_left(run, tmp_path, monkeypatch):
    first = run("trainer.max_steps=5", run_dir=tmp_path / "a")
    (tmp_path / "b").mkdir()
    first.trainer.save_checkpoint(tmp_path / "b" / "hpc_ckpt_1.ckpt")
    for name, value in {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "1"}.items():
        monkeypatch.setenv(name, value)
    fresh = run(KEEP, "trainer.max_steps=5", run_dir=tmp_path / "b")
    assert list(losses(fresh)) == [1, 2, 3, 4, 5]


def test_ckpt_path_last_resumes_the_newest_run(run, tmp_path):
    logs = tmp_path / "logs" / "mlm"
    run("trainer.max_steps=3", run_dir=logs / "2026-01-01" / "10-00-00")
    run("trainer.max_steps=4", run_dir=logs / "2026-01-02" / "09-00-00")
    result = run("ckpt_path=last", "trainer.max_steps=6", run_dir=logs / "2026-01-02" / "10-00-00")
    summary = json.loads((result.run_dir / "summary.json").read_text())
    assert "2026-01-02/09-00-00" in summary["resumed_from"]


def test_metrics_of_an_earlier_run_in_the_same_directory_are_kept(run):
    first = run("trainer.max_steps=3")
    before = (first.run_dir / "metrics.csv").read_text()
    run("trainer.max_steps=6", "ckpt_path=last")
    assert (first.run_dir / "metrics-1.csv").read_text() == before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data.batch_size=10", "hardware.accumulate_grad_batches=4"],
            r"data\.batch_size=10 .*hardware\.devices=1.*hardware\.accumulate_grad_batches=4",
        ),
        pytest.param(
            ["hardware=gpu"],
            "no GPU is visible",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        (
            ["+callbacks.curve.pth=x"],
            r"callbacks\.curve\.pth is no setting of LossCurve. Did you mean 'path'",
        ),
        (["data.batch_size=9", "hardware.devices=2"], r"data\.batch_size=9 .*hardware\.devices=2"),
        (["model.heads=5"], r"model\.heads=5 .*model\.hidden_size=32"),
        (["mask.ratio=0"], r"mask\.ratio is 0"),
        (["mask/ratio=linear", "mask.ratio.end=0"], r"mask\.ratio\.end is 0"),
        (["mask/ratio=linear", "mask.ratio.start=1.5"], r"mask\.ratio\.start is 1\.5"),
        (["mask/ratio=steps", "mask.ratio.boundaries=[0.5,0.7]"], r"mask\.ratio\.boundaries"),
        (["mask/ratio=sampled", "mask.ratio.high=1.5"], r"mask\.ratio.*high=1\.5"),
        (["mask/ratio=linear", "+mask.ratio.value=0.3"], r"mask\.ratio\.value is no setting of Linear"),
        (["mask.dynamic=sometimes"], r"mask\.dynamic='sometimes'"),
        (["+mask.rate=0.3"], r"no key 'mask\.rate'. Did you mean 'ratio'"),
        (["mask=frequency", "mask.weights.alpha=nan"], r"mask\.weights\.alpha is nan"),
        (
            ["mask=lexicon", "mask.weights.lexicon=nothing.tsv"],
            r"mask\.weights\.lexicon=nothing\.tsv does not exist",
        ),
        (["mask=lexicon", "mask.weights.others=-1"], r"mask\.weights\.others is -1"),
        (["mask=pmi", "mask.units.path=nothing.tsv"], r"mask\.units\.path=nothing\.tsv cannot be read"),
        (
            ["mask=pmi", "mask@evaluation_mask=pmi", "mask.units.min_count=3"],
            r"evaluation_mask\.units needs collocations with other settings than the other mask",
        ),
        (["mask=adaptive", "mask.weights.decay=2"], r"mask\.weights\.decay is 2"),
        (["mask=span", "mask.units.p=2"], r"mask\.units\.p is 2"),
        (["mask=ngram", "mask.units.distribution=[0.5,0.6,0.2]"], r"mask\.units\.distribution .* add up to 1"),
        (["mask/corruption=mask_only", "mask.corruption.mask=0.9"], "add up to 1"),
        (["mask/corruption=bert", "mask.corruption.replacements=rare"], r"mask\.corruption\.replacements='rare'"),
        (["mask.ratio=1.5"], r"mask\.ratio is 1\.5"),
        (["mask.corruption.mask=0.9"], "add up to 1"),
        (
            ["tokenizer.vocabulary_size=70000", "data.id_type=uint16"],
            r"tokenizer\.vocabulary_size=70000 .*data\.id_type=uint16",
        ),
        (["data.id_type=uint8"], r"data\.id_type='uint8'"),
        (["data.batch_size=abc"], r"data\.batch_size='abc' is not a whole number of at least 1"),
        (["data.batch_size=null"], r"data\.batch_size=None is not a whole number of at least 1"),
        (["data.batch_size=true"], r"data\.batch_size=True is not a whole number of at least 1"),
        (["data.splits.test=null"], r"data\.splits\.test=None: name a split .*, such as 0\.05"),
        (["data.splits.test=true"], r"data\.splits\.test=True: name a split .*, such as 0\.05"),
        (["objective=train/loss"], r"objective='train/loss' is no metric"),
        (["trainer.max_epochs=0"], r"trainer\.max_epochs=0"),
        (["data.block_size=2"], r"data\.block_size=2"),
        (["data.block_size=wide"], r"data\.block_size='wide' is not a whole number"),
        (["model.dropout=high"], r"model\.dropout='high'"),
        (["+model.drop=0.1"], r"model\.drop is no setting of Transformer. Did you mean 'dropout'"),
        (["+trainer.max_step=3"], r"trainer\.max_step is no setting of Trainer. Did you mean 'max_steps'"),
        (["+trainer.accumulate_grad_batches=2"], r"hardware\.accumulate_grad_batches"),
        (["trainer.max_steps=-1"], r"trainer\.max_steps=-1 and trainer\.max_time=null"),
        (["schedule.warmup=2"], r"schedule\.warmup"),
        (["data.cleaning=[html_tag]"], "Did you mean 'html_tags'"),
        (["seed=-1"], r"seed=-1"),
        (["seed=abc"], r"seed='abc'"),
        (["trainer.max_steps=abc"], r"trainer\.max_steps='abc'"),
        (["trainer.max_time=1h"], r"trainer\.max_time is '1h', which is no time"),
        (["trainer.max_time=60"], r"trainer\.max_time is 60, which is no time"),
        (["trainer.val_check_interval=10:00"], r"trainer\.val_check_interval is '10:00', which is no time"),
        (["trainer.val_check_interval=00:00:00:00"], r"trainer\.val_check_interval is '00:00:00:00'"),
        (["trainer.val_check_interval=often"], r"trainer\.val_check_interval='often'"),
        (["trainer.val_check_interval=0"], r"trainer\.val_check_interval=0"),
        (["hardware.accelerator=gpuu"], r"hardware\.accelerator='gpuu'"),
        (["hardware.precision=fp16"], r"hardware\.precision='fp16'"),
        (["hardware.workers=-1"], r"hardware\.workers=-1"),
        (["+hardware.compil=true"], r"hardware\.compil is no setting of Hardware. Did you mean 'compile'"),
        (["+optimiser.lr=1"], r"no key 'optimiser'. Did you mean 'optimizer'"),
        (["data.evaluation_limit=0"], r"data\.evaluation_limit=0"),
        (["optimizer.lr=-1"], r"optimizer\.lr=-1"),
        (["model.intermediate_size=0"], r"model\.intermediate_size=0"),
        (["objective=validation/los"], r"objective='validation/los' is no metric. Did you mean 'validation/loss'"),
        (["callbacks.checkpoint.monitor=val_loss"], r"callbacks\.checkpoint\.monitor='val_loss' is no metric"),
        (["data.source=nothing.txt"], r"data\.source='nothing\.txt' does not exist"),
        (["optimizer.betas=[0.9]"], r"optimizer\.betas"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_impossible_settings_are_refused_before_any_work(run, tmp_path, overrides, message):
    with pytest.raises(UserError, match=message):
        run(*overrides, f"data.cache_dir={tmp_path / 'cache'}", pictures=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        # the example of the documentation: each of the four parts of a strategy can be replaced
        (
            [
                "mask=span",
                "mask/ratio=linear",
                "mask.ratio.start=0.3",
                "mask.ratio.end=0.15",
                "mask/corruption=mask_only",
            ],
            {"units": "Spans", "weights": "Uniform", "ratio": "Linear", "corruption": "Corruption"},
        ),
        (
            ["mask=pmi", "mask/weights=frequency", "mask/ratio=sampled", "mask/corruption=random_only"],
            {"units": "Collocations", "weights": "Frequency", "ratio": "Sampled", "corruption": "Corruption"},
        ),
        (
            ["mask=adaptive", "mask/units=words", "mask.ratio=0.4"],
            {"units": "Words", "weights": "Adaptive", "ratio": "Constant", "corruption": "Corruption"},
        ),
        (
            ["mask=token", "mask/weights=lexicon", "mask/units=entities", "mask.weights.others=0.1"],
            {"units": "Entities", "weights": "Lexicon", "ratio": "Constant", "corruption": "Corruption"},
        ),
    ],
)
def test_parts_of_a_mask_can_be_replaced(run, overrides, expected):
    result = run("trainer.max_steps=2", *overrides)
    masker = result.task.masker
    assert {part: type(getattr(masker, part)).__name__ for part in expected} == expected
    assert result.metrics["train/loss"] > 0


def test_a_ratio_depends_on_the_progress_of_the_run(run):
    result = run(
        "mask=token", "mask/ratio=linear", "mask.ratio.start=0.6", "mask.ratio.end=0.2", "trainer.max_steps=4"
    )
    batch = next(iter(result.data.train_dataloader()))
    shares = [
        (result.task.masker(batch, progress).valid.sum() / (batch["words"] >= 0).sum()).item()
        for progress in (0.0, result.task.progress(2), 1.0)
    ]
    assert shares == pytest.approx([0.6, 0.4, 0.2], abs=0.02)


def test_static_masks_are_the_same_in_every_epoch(run, tmp_path):
    for dynamic in (True, False):
        result = run(f"mask.dynamic={str(dynamic).lower()}", "trainer.max_steps=1", run_dir=tmp_path / str(dynamic))
        batch = next(iter(result.data.train_dataloader()))
        first, second = (result.task.masker(batch | {"epochs": batch["epochs"] + n}).input_ids for n in (0, 1))
        assert torch.equal(first, second) is not dynamic


def test_without_masked_tokens_the_training_loss_is_0(run):
    result = run("mask=none", "optimizer.weight_decay=0", "trainer.max_steps=3")
    rows = list(csv.DictReader((result.run_dir / "metrics.csv").open()))
    assert {float(row["train/loss"]) for row in rows if row["train/loss"]} == {0.0}
    assert result.metrics["test/loss"] > 0


def test_adaptive_weights_learn_and_are_saved(run, tmp_path):
    result = run("mask=adaptive", "mask.weights.every=2", "trainer.max_steps=6", "trainer.val_check_interval=6")
    difficulty = result.task.masker.weights.difficulty
    assert (difficulty < 1).any()
    assert ((difficulty > 0) & (difficulty <= 1)).all()
    saved = torch.load(result.run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(saved["masker.weights.difficulty"], difficulty)
    # a run with another mask can resume from it, and a run with it from one with another mask
    settings = ("trainer.max_steps=8", f"ckpt_path={result.run_dir}", "resume.allow=[mask]")
    assert run(*settings, run_dir=tmp_path / "b").trainer.global_step == 8
    other = run("trainer.max_steps=3", run_dir=tmp_path / "c")
    settings = ("mask=adaptive", "trainer.max_steps=5", f"ckpt_path={other.run_dir}", "resume.allow=[mask]")
    again = run(*settings, run_dir=tmp_path / "d")
    assert (again.task.masker.weights.difficulty == 1).all()
    # the best checkpoint, which is tested, may be older than the other mask
    best = (result.run_dir / "checkpoints" / "best.ckpt").read_bytes()
    worse = ("optimizer.lr=1", "optimizer.adamw_lr=1", "resume.allow=[mask,optimizer]")
    run("trainer.max_steps=8", f"ckpt_path={result.run_dir}", *worse, run_dir=result.run_dir)
    assert (result.run_dir / "checkpoints" / "best.ckpt").read_bytes() == best


def test_a_collocation_list_of_another_tokenizer_is_refused(run, tmp_path):
    first = run("mask=pmi", "mask.units.min_count=5", "trainer.max_steps=1", run_dir=tmp_path / "a")
    path = first.data.annotation_folders["collocations"] / "collocations.tsv"
    assert len(path.read_text().splitlines()) > 3
    run("mask=pmi", f"mask.units.path={path}", "trainer.max_steps=1", run_dir=tmp_path / "b")
    with pytest.raises(UserError, match=r"mask\.units\.path=.* was built for another tokenizer"):
        run("mask=pmi", f"mask.units.path={path}", "tokenizer.vocabulary_size=200", run_dir=tmp_path / "c")
    assert not (tmp_path / "c").exists()


class Negative:
    """Invalid weights."""

    def __init__(self, value: float):
        self.value = value

    def __call__(self, batch):
        return torch.full(batch["words"].shape, self.value)


class Wide:
    """Units that are longer than declared."""

    def __call__(self, batch, draws, budget):
        return batch["words"].clamp(max=0)


class Outside:
    """Units with invalid ids."""

    def __call__(self, batch, draws, budget):
        return batch["words"] + 1000


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["weights={_target_: tests.integration.test_train.Negative, value: -1.0}"],
            r"mask\.weights: Negative returned the weight -1\.0",
        ),
        (
            ["weights={_target_: tests.integration.test_train.Negative, value: nan}"],
            r"mask\.weights: Negative returned the weight nan",
        ),
        (
            ["units={_target_: tests.integration.test_train.Wide}"],
            r"mask\.units: Wide returned a unit of 30 tokens.* `margin`",
        ),
        (
            ["units={_target_: tests.integration.test_train.Outside}"],
            r"mask\.units: Outside returned .* from -1 to 31",
        ),
    ],
)
def test_parts_that_return_invalid_values_are_refused_at_the_start(run, tmp_path, overrides, message):
    with pytest.raises(UserError, match=message):
        run(
            "~mask.weights" if "weights" in overrides[0] else "~mask.units",
            *(f"+mask.{o}" for o in overrides),
            run_dir=tmp_path / "a",
        )
    assert not (tmp_path / "a").exists()


def test_a_lexicon_without_words_of_the_corpus_is_refused(run, tmp_path):
    path = tmp_path / "words.tsv"
    path.write_text("schön\t1\n")
    with pytest.raises(UserError, match=r"mask\.weights\.lexicon=.* none of its 1 words occurs"):
        run("mask=lexicon", f"mask.weights.lexicon={path}", run_dir=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_ranks_that_others_left_in_the_environment_do_not_silence_a_run(run, monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    result = run("trainer.max_steps=2")
    assert (result.run_dir / "metrics.csv").is_file()
    assert (result.run_dir / "summary.json").is_file()
