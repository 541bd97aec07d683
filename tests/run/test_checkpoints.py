from types import SimpleNamespace

import torch

from maskwright.run import checkpoints
from maskwright.run.evaluated_data import folder_of


def own(tmp_path):
    (tmp_path / "a.txt").write_text("one\n")
    return {"source": str(tmp_path / "a.txt"), "limit": None}


def test_an_evaluation_of_a_part_or_of_another_checkpoint_has_its_own_folder(tmp_path):
    data = own(tmp_path)
    assert folder_of("test", data, data, "best") == "test"
    assert folder_of("test", data | {"limit": 50}, data, "best") == "test-limit-50"
    assert folder_of("test", data, data, "last") == "test-last"


def test_the_last_run_is_found_behind_a_link(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoints.SavedRun, "open", lambda path, key: path)
    kept = tmp_path / "disk" / "2026-01-01" / "10-00-00" / "checkpoints"
    kept.mkdir(parents=True)
    torch.save({}, kept / "last.ckpt")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "mlm").symlink_to(tmp_path / "disk")
    settings = SimpleNamespace(ckpt_path="last", run_dir="logs/mlm/2026-01-02/10-00-00")
    assert checkpoints.find_checkpoint(settings).resolve() == kept / "last.ckpt"
