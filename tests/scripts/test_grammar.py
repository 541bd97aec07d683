"""scripts/studies/grammar.py"""

import json

import pytest

from maskwright.run import jobs
from tests import programs
from tests.conftest import ROOT

SCRIPT = ROOT / "scripts" / "studies" / "grammar.py"


@pytest.fixture(autouse=True)
def _forked(monkeypatch):
    monkeypatch.setattr(jobs, "Popen", programs.Forked)


def test_pairs_are_scored_with_each_seed(corpus, cache, tmp_path):
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    (pairs / "agreement-near.txt").write_text(
        "the dogs barks .\nthe dogs bark .\nthe cat sleep .\nthe cat sleeps .\n"
    )
    (pairs / "agreement-far.txt").write_text("the dogs of it barks .\nthe dogs of it bark .\n")
    overrides = (
        f"data=text data.source={corpus} data.cache_dir={cache} tokenizer.vocabulary_size=300 data.block_size=32 "
        "data.batch_size=8 hardware=cpu preparation.workers=1 trainer.max_steps=2 logger=csv model.layers=1 "
        "model.hidden_size=32 model.heads=2 model.intermediate_size=32"
    )
    seeds = ["--seeds", "1", "2", "--folder", str(tmp_path / "study")]
    given = ["--pairs", str(pairs), *seeds, "--overrides", *overrides.split()]
    done = programs.call(SCRIPT, *given, cwd=ROOT, limit=300, PYTHONPATH=str(SCRIPT.parent))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "study" / "grammar.json").read_text())
    assert [row["pairs"] for row in found["1"] if row["level"] == "overall"] == [3]
    assert not any("outcomes" in row for rows in found.values() for row in rows)
    header, _, phenomenon, overall = (tmp_path / "study" / "grammar.md").read_text().splitlines()
    assert header == "| | seed 1 | seed 2 | mean | untrained | constant |"
    shares = [100 * found[seed][-1]["accuracy"] for seed in ("1", "2")]
    assert overall.startswith(f"| overall | {shares[0]:.1f} | {shares[1]:.1f} | {sum(shares) / 2:.1f} ± ")
    assert phenomenon.startswith("| agreement |")
    again = programs.call(SCRIPT, *given, cwd=ROOT, limit=300, PYTHONPATH=str(SCRIPT.parent))
    assert again.returncode == 0
    assert ": running; " not in again.stdout
