"""What W&B is asked for, with a stand-in for `wandb.init`; tests/integration/test_dashboards.py runs the real one."""

from types import SimpleNamespace

import pytest
import wandb

from maskwright.loggers import Description, WandbLogger


class FakeRun:
    """Notes what is sent to it."""

    def __init__(self, **arguments):
        self.arguments, self.offline = arguments, arguments.get("mode") == "offline"
        self.settings = SimpleNamespace(sync_dir="folder")
        self.url = "https://wandb.example/run"
        self.config, self.summary, self.rows, self.metrics, self.ended = FakeConfig(), {}, [], {}, []

    def define_metric(self, name, step_metric=None, summary=None):
        self.metrics[name] = step_metric, summary

    def log(self, values, step=None, commit=None):
        self.rows.append((step, values))

    def finish(self, exit_code):
        self.ended.append(exit_code)

    def mark_preempting(self):
        self.ended.append("preempting")


class FakeConfig(dict):
    def update(self, values, allow_val_change):
        super().update(values)


@pytest.fixture
def started(monkeypatch, tmp_path):
    """The W&B runs that were begun."""
    runs = []

    def init(**arguments):
        runs.append(FakeRun(**arguments))
        return runs[-1]

    for name in ("MODE", "API_KEY", "IDENTITY_TOKEN_FILE", "RUN_GROUP", "RUN_ID", "NAME", "TAGS", "JOB_TYPE"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "teardown", lambda: None)
    monkeypatch.setattr(wandb, "login", lambda prompt, verify: False)
    return runs


ABOUT = Description("run", "mlm", "sweep", ("mask=token",), {"mask.ratio": 0.3}, {"loss": "min", "f1": "max"})


@pytest.mark.parametrize(
    ("offline", "environment", "mode"),
    [
        (None, {}, "offline"),
        (True, {"WANDB_API_KEY": "a" * 40}, "offline"),
        (None, {"WANDB_API_KEY": "a" * 40}, None),
        (None, {"WANDB_MODE": "disabled"}, None),
        (False, {}, None),
    ],
)
def test_a_run_without_a_key_is_written_to_this_disk(
    started, tmp_path, monkeypatch, capsys, offline, environment, mode
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    logger = WandbLogger(save_dir=tmp_path, offline=offline)
    logger.begin(ABOUT)
    assert started[0].arguments.get("mode") == mode
    logger.finish("completed", {})
    upload = f"Upload the run to W&B: wandb sync {started[0].settings.sync_dir}"
    assert (upload in capsys.readouterr().out) == (mode == "offline")


def test_a_run_is_named_grouped_and_tagged_by_itself(started, tmp_path, monkeypatch):
    logger = WandbLogger(save_dir=tmp_path / "run")
    logger.begin(ABOUT)
    own = {"name": "run", "group": "sweep", "job_type": "mlm", "tags": ["mask=token"], "resume": "allow"}
    assert own.items() <= started[0].arguments.items()
    assert started[0].config == {"mask.ratio": 0.3}
    # what the config or the environment says, which W&B reads itself, comes first
    monkeypatch.setenv("WANDB_RUN_GROUP", "of the launcher")
    WandbLogger(save_dir=tmp_path / "other", name="mine").begin(ABOUT)
    assert started[1].arguments["name"] == "mine"
    assert started[1].arguments["group"] is None
    assert started[1].arguments["id"] != started[0].arguments["id"]
    WandbLogger(save_dir=tmp_path / "run").begin(ABOUT)
    assert started[2].arguments["id"] == started[0].arguments["id"]


def test_metrics_have_tokens_as_their_axis_and_their_best_value_as_their_summary(started, tmp_path):
    logger = WandbLogger(save_dir=tmp_path)
    logger.begin(ABOUT)
    names = ("train/tokens", "train/loss", "validation/loss", "validation/f1/PER", "test/loss", "epoch")
    logger.log_metrics(dict.fromkeys(names, 1.0), step=9)
    logger.log_metrics({"train/loss": 0.5}, step=19)
    assert started[0].rows == [(9, dict.fromkeys(names, 1.0)), (19, {"train/loss": 0.5})]
    axis, of = "train/tokens", dict.fromkeys(names, ("train/tokens", None))
    of |= {axis: (None, None), "validation/loss": (axis, "min,last"), "validation/f1/PER": (axis, "max,last")}
    assert started[0].metrics == of


@pytest.mark.parametrize(
    ("status", "requeued", "ended"),
    [
        ("completed", False, [0]),
        ("failed", False, [1]),
        ("interrupted", False, [255]),
        ("interrupted", True, ["preempting", 255]),
    ],
)
def test_a_run_ends_as_it_did(started, tmp_path, status, requeued, ended):
    logger = WandbLogger(save_dir=tmp_path)
    logger.finish(status, {})  # that has not begun
    logger.begin(ABOUT)
    logger.finish(status, {"status": status, "error": "why"}, requeued)
    assert started[0].ended == ended
    assert started[0].summary == {"status": status, "error": "why"}


def test_a_server_that_is_not_reached_does_not_end_the_run(started, tmp_path, monkeypatch, capsys):
    init = wandb.init

    def unreachable(**arguments):
        if arguments.get("mode") != "offline":
            raise wandb.errors.CommError("connection refused\nwhile retrying")
        return init(**arguments)

    monkeypatch.setattr(wandb, "init", unreachable)
    logger = WandbLogger(save_dir=tmp_path, offline=False)
    logger.begin(ABOUT)
    logger.log_metrics({"train/loss": 1.0}, step=0)
    logger.finish("completed", {})
    assert started[0].rows
    out = capsys.readouterr().out
    assert out.count("note: W&B is not reached, so the run is written to this disk: connection refused\n") == 1
    assert "wandb sync" in out


@pytest.mark.parametrize("what", ["log", "finish", "define_metric"])
def test_what_goes_wrong_with_wandb_does_not_end_the_run(started, tmp_path, monkeypatch, capsys, what):
    logger = WandbLogger(save_dir=tmp_path, offline=False)
    logger.begin(ABOUT)

    def fail(*arguments, **named):
        raise TimeoutError("it is gone")

    setattr(started[0], what, fail)
    for step in range(3):
        logger.log_metrics({"train/loss": 1.0}, step=step)
        logger.log_table("fills", ["a"], [[1]])
    logger.finish("completed", {})
    out = capsys.readouterr().out
    assert out.count("note: W&B gets nothing more of this run, which goes on: it is gone") == 1
    assert "wandb sync folder" in out


def test_a_stopped_program_is_not_held_up(started, tmp_path):
    logger = WandbLogger(save_dir=tmp_path)
    logger.begin(ABOUT)

    def stop(*arguments, **named):
        raise KeyboardInterrupt

    started[0].log = stop
    with pytest.raises(KeyboardInterrupt):
        logger.log_metrics({"train/loss": 1.0}, step=0)
    logger.finish("interrupted", {})
    assert started[0].ended == [255]


def test_all_parts_of_a_resumed_run_are_uploaded(started, tmp_path, capsys):
    folder = tmp_path / "it's one" / "wandb"
    for part in ("offline-run-1-id", "offline-run-2-id"):
        (folder / part).mkdir(parents=True)
    logger = WandbLogger(save_dir=folder.parent)
    logger.begin(ABOUT)
    logger.finish("completed", {})
    quoted = str(folder).replace("'", "'\"'\"'")
    assert f"wandb sync '{quoted}'/offline-run-*\n" in capsys.readouterr().out
