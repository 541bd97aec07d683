"""model=hmm and model=ngram through the commands that networks go through."""

import re

import pytest
import torch
import yaml

from maskwright.run.evaluate import evaluate
from maskwright.run.saved import SavedRun
from tests.conftest import ROOT, compose_command

SETTINGS = {"hmm": ["model.states=8"], "ngram": ["model.right=1"]}


@pytest.mark.parametrize("model", SETTINGS)
def test_it_trains_resumes_exactly_opens_and_is_evaluated(run, model, tmp_path):
    overrides = [f"model={model}", *SETTINGS[model], "trainer.val_check_interval=2"]
    whole = run(*overrides, "trainer.max_steps=4", run_dir=tmp_path / "whole")
    assert whole.metrics["test/loss"] < 3.7  # the entropy of single tokens
    config = yaml.safe_load((whole.run_dir / "config.yaml").read_text())
    assert config["optimizer"]["_target_"] == "maskwright.optim.em"
    first = run(*overrides, "trainer.max_steps=2", run_dir=tmp_path / "part")
    resumed = run(*overrides, "trainer.max_steps=4", f"ckpt_path={first.run_dir}", run_dir=tmp_path / "resumed")
    assert resumed.metrics["test/loss"] == whole.metrics["test/loss"]
    for name, weight in whole.task.state_dict().items():
        assert torch.equal(weight, resumed.task.state_dict()[name]), name

    found = evaluate(compose_command("evaluate", f"run={whole.run_dir}", "hardware=cpu"))
    assert found["test/loss"] == pytest.approx(whole.metrics["test/loss"], rel=1e-5)
    saved = SavedRun.open(whole.run_dir)
    ids = torch.randint(5, 200, (2, 9))
    ids[:, 4] = ids[0, 6] = saved.tokenizer.mask_id
    with torch.no_grad():
        log = saved.head(saved.encoder(ids, None, torch.tensor([[4], [4]])))
    torch.testing.assert_close(log.exp().sum(-1), torch.ones(2, 1))

    if model == "hmm":
        [code] = re.findall(r"```python\n(.*?viterbi.*?)```", (ROOT / "docs" / "models.md").read_text(), re.DOTALL)
        found = {}
        with torch.no_grad():
            exec(code.replace("logs/mlm/2026-11-26/10-00-00", str(whole.run_dir)), found)
            assert found["states"].shape == found["row"].shape
            assert found["log_probability"] <= found["run"].encoder.log_likelihood(found["row"])

    begun = run(
        *overrides, "trainer.max_steps=1", "data.limit=60", f"init_from={whole.run_dir}", run_dir=tmp_path / "begun"
    )
    assert begun.metrics["test/loss"] > 0
    if model == "ngram":  # its counts are those of its own corpus
        asked = sum(int(asked.sum()) for _, asked in begun.data.training_rows())
        assert begun.task.head.frequencies.sum() == asked < whole.task.head.frequencies.sum()


def test_an_hmm_that_keeps_documents_apart_learns_from_micro_batches(run):
    kept = ("model=hmm", "model.states=8", "data.cross_document_attention=false", "trainer.max_steps=2")
    losses = [run(*kept, f"hardware.accumulate_grad_batches={n}").metrics["test/loss"] for n in (1, 4)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
