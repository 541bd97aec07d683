import csv
import json
import time

import numpy as np
import pytest

from maskwright.data import packed as text
from maskwright.data import shuffling
from maskwright.models.flops import forward_flops


def metrics(result):
    rows = csv.DictReader((result.run_dir / "metrics.csv").open())
    return [row for row in rows if row.get("train/tokens_per_second")]


def summary(result):
    return json.loads((result.run_dir / "summary.json").read_text())


def test_the_share_of_padding_is_logged(run):
    few = ("data.limit=25", "data.splits.validation=0.2", "data.splits.test=0.2")
    result = run(
        *few, "trainer.max_steps=30", "trainer.log_every_n_steps=30", "trainer.val_check_interval=30", pictures=True
    )
    blocks = result.data.blocks["train"]
    _, seen = shuffling.stream(np.arange(30 * 8), len(blocks), result.data.seed)
    padding = sum((blocks.read(np.array([block]))["documents"] < 0).sum() for block in seen)
    assert padding > 0  # in the last block, once per epoch
    [row] = metrics(result)
    assert float(row["train/padding"]) == pytest.approx(padding / (30 * 8 * 32))
    assert summary(result)["padding"] == pytest.approx(padding / (30 * 8 * 32))


def test_the_share_of_waiting_for_data_is_logged(run, monkeypatch):
    read = text.PackedBlocks.read

    def slow(*arguments):
        began = time.perf_counter()
        while time.perf_counter() - began < 0.1:
            pass
        return read(*arguments)

    monkeypatch.setattr(text.PackedBlocks, "read", slow)
    found = summary(run(pictures=True))
    assert found["data_wait"] * found["seconds"]["training"] > 0.399  # two of six waits end before the clock runs


def test_utilization_is_the_flops_of_the_model_relative_to_the_rate_of_matrix_products(run):
    result = run("mask=token", "data.batch_size=8", "trainer.log_every_n_steps=1", pictures=True)
    task, throughput = result.task, next(c for c in result.trainer.callbacks if hasattr(c, "matmul_rate"))
    batch = result.data.sample(8)
    masked = task.masker(batch)
    hidden = task.token_encoder(masked.input_ids, None, masked.positions)
    whole = forward_flops(task.encoder, masked.input_ids, None, masked.positions) + forward_flops(task.head, hidden)
    rows = metrics(result)
    assert len(rows) == 6
    for row in rows:
        steps_per_second = float(row["train/tokens_per_second"]) / (8 * 32)
        flops = float(row["train/utilization"]) * throughput.matmul_rate / steps_per_second
        assert flops == pytest.approx(3 * whole, rel=0.1)  # the number of masked positions varies
