"""What a dashboard knows of a run."""

from pathlib import Path

from maskwright.loggers import flat, group, tags


def test_each_setting_has_a_dotted_key():
    config = {"seed": 1, "mask": {"ratio": {"value": 0.3}, "weights": None}, "lists": [1, {"a": 2}], "empty": {}}
    assert flat(config) == {
        "seed": 1,
        "mask.ratio.value": 0.3,
        "mask.weights": None,
        "lists": [1, {"a": 2}],
        "empty": {},
    }


def test_tags_are_the_options_of_the_main_groups():
    choices = {"task": "mlm", "mask": "token", "mask/ratio": "constant", "mask@evaluation_mask": "token"}
    assert tags(choices | {"logger": "wandb", "data": "x" * 100}) == ("task=mlm", "mask=token", "data=" + "x" * 59)


def test_a_group_is_the_sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert group(None) is None
    assert group("logs/mlm/now") == group(str(tmp_path / "logs" / "mlm" / "now")) == "logs/mlm/now"
    assert group("/elsewhere/" + "x" * 200) == "x" * 128
    assert not Path("logs").exists()
