"""Rules about the machine."""

import pytest
import torch
from omegaconf import OmegaConf

from maskwright.core.errors import UserError
from maskwright.run import machine
from maskwright.settings.commands import TrainSettings
from tests.conftest import TINY, compose_train


def settings(*overrides: str) -> TrainSettings:
    cfg = compose_train(*TINY, "run_dir=unused", *overrides)
    return TrainSettings.parse(OmegaConf.to_container(cfg, resolve=True))


@pytest.mark.parametrize("name", ["", "my-compiler"])
def test_compiling_without_a_compiler_is_refused(monkeypatch, tmp_path, name):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", name)
    with pytest.raises(UserError, match=r"hardware\.compile=true needs a C\+\+ compiler.*CXX"):
        machine.a_compiler_is_there(settings("hardware.compile=true"))
    machine.a_compiler_is_there(settings())
    compiler = tmp_path / (name or "g++")
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    (tmp_path / "clang++").symlink_to(compiler)
    machine.a_compiler_is_there(settings("hardware.compile=true"))


def test_a_run_dir_that_cannot_be_written_is_refused(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"run_dir=.*/file/run: .*/file is a file"):
        machine.run_dir_can_be_written(settings(f"run_dir={tmp_path}/file/run"))
    monkeypatch.setattr(machine.os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(UserError, match=r"run_dir=.*/new/run: .* cannot be written"):
        machine.run_dir_can_be_written(settings(f"run_dir={tmp_path}/new/run"))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_precision_that_the_cpu_computes_slowly_is_remarked_on(monkeypatch, fast, precision, device):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: fast)
    remark = machine.remark_on_precision(precision, precision, torch.device(device))
    assert (remark is not None) == (not fast and device == "cpu" and precision != "32-true")


def test_the_precision_that_was_chosen_for_a_cpu_is_remarked_on(monkeypatch):
    monkeypatch.setattr(machine, "bfloat16_gain", lambda: 4.321)
    assert "4.3 times as fast in bfloat16" in machine.remark_on_precision("auto", "bf16-mixed", torch.device("cpu"))
    assert machine.remark_on_precision("auto", "32-true", torch.device("cpu")) is None
    assert machine.remark_on_precision("auto", "bf16-mixed", torch.device("cuda")) is None


@pytest.mark.parametrize(
    ("native", "gain", "expected"), [(True, 3.0, "bf16-mixed"), (True, 1.1, "32-true"), (False, 3.0, "32-true")]
)
def test_the_precision_of_a_cpu_is_chosen_by_a_measurement(monkeypatch, native, gain, expected):
    monkeypatch.setattr(machine, "has_bfloat16", lambda _: native)
    monkeypatch.setattr(machine, "bfloat16_gain", lambda: gain)
    assert machine.precision_of(settings("hardware.precision=auto").hardware) == expected
    assert machine.precision_of(settings("hardware.precision=bf16-true").hardware) == "bf16-true"
