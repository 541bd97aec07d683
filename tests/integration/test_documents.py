"""What the documents show works."""

import re
import subprocess

import pytest

from maskwright.door import known
from tests.conftest import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown(pattern: str) -> list[str]:
    """Commands in the code blocks of the documents, and in the help, that match; each once."""
    text = "\n".join(
        block for path in DOCUMENTS for block in re.findall(r"```bash\n(.*?)```", path.read_text(), re.DOTALL)
    )
    for path in sorted((ROOT / "conf" / "hydra" / "help").glob("*.yaml")):
        text += path.read_text()
    commands = [line.split("  #")[0].strip() for line in text.splitlines()]
    return list(dict.fromkeys(command for command in commands if re.match(pattern, command)))


TRAIN = shown(r"python src/train\.py( [\w@/.+]+=\S+)*$")
# what a command needs that a test does not have: the hub, a folder in one's home, an hour
INSTEAD = {
    "data.source": None,
    "data.document": None,
    "data.config": "data.config=null",
    "trainer.max_steps": "trainer.max_steps=2",
    "trainer.max_time": "trainer.max_time=00:00:00:02",
}


@pytest.mark.parametrize("command", TRAIN)
def test_shown_training_commands_run(run, tmp_path, command):
    overrides = command.split()[2:]
    if "trainer.max_steps=-1" in overrides:
        overrides = [o for o in overrides if o != "trainer.max_steps=-1"]
        overrides.append("++trainer.max_steps=-1")
    replaced = [INSTEAD.get(o.split("=")[0], o) for o in overrides]
    run_dir = tmp_path / "logs" / "mlm" / "2026-01-01" / "11-00-00"
    if "ckpt_path=last" in overrides:
        run("trainer.max_steps=1", run_dir=run_dir.with_name("10-00-00"))
    result = run("trainer.max_steps=2", *[o for o in replaced if o is not None], run_dir=run_dir)
    assert result.metrics["test/loss"] > 0


def test_there_are_commands_to_test():
    assert len(TRAIN) >= 10


@pytest.mark.parametrize("command", shown(r"make\b"))
def test_shown_make_targets_exist(command):
    target = command.split()[1]
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_documented_keys_exist():
    _, keys = known(str(ROOT / "conf"), "train", [])
    keys += known(str(ROOT / "conf"), "mask", [])[1]
    for path in (ROOT / "conf" / "mask").glob("*/*.yaml"):  # those of the options that are not the default
        keys += [f"mask.{path.parent.name}.{key}" for key in re.findall(r"^(\w+):", path.read_text(), re.MULTILINE)]
    groups = {key.split(".")[0] for key in keys if "." in key}
    for path in DOCUMENTS:
        for key in re.findall(r"`((?:\w+\.)+\w+)(?:=[^`]*)?`", path.read_text()):
            if key.split(".")[0] in groups:
                known_elsewhere = {
                    "tokenizer.name",
                    "logger.wandb.offline",
                    "schedule.cooldown",
                    "trainer.key",
                }
                assert key in keys or key in known_elsewhere, (path, key)


def test_make_alone_lists_the_targets():
    listed = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for target in ("train", "test", "lint", "format", "clean"):
        assert re.search(rf"make {target}\s+\w", listed)
