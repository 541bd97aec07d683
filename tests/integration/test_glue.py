"""GLUE: each task in the columns that it is published in, as a run is asked for it."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskwright.core.errors import UserError
from maskwright.corpora.glue import TASKS, glue
from tests.texts import make_text

NAMES = {"mrpc": ["not_equivalent", "equivalent"], "qqp": ["not_duplicate", "duplicate"]}


def write_glue(folder, config: str, number: int = 60):
    """Writes splits of a task as the hub has them, with two classes or values, and hidden labels in the test split."""
    task = TASKS[config]
    columns = task.column if isinstance(task.column, list) else [task.column]
    place = folder / config
    place.mkdir(parents=True)
    others = ["validation_mismatched"] if config == "mnli" else []
    for split in ("train", task.validation_split, "test", *others):
        rows = []
        for seed in range(number):
            positive = seed % 2
            words = "a wonderful delight" if positive else "a horrible disaster"
            row = {name: f"{words} {make_text(seed + i, 1)}" for i, name in enumerate(columns)}
            if config in NAMES:
                label = NAMES[config][positive]
            else:
                label = -1 if split == "test" else 5.0 * positive if config == "stsb" else positive
            rows.append(row | {"label": label, "idx": seed})
        if split.endswith("mismatched"):
            rows = rows[:3]
        pq.write_table(pa.Table.from_pylist(rows), place / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("config", TASKS)
def test_every_task_is_learned_with_its_published_metrics(run, tmp_path, config):
    task = TASKS[config]
    overrides = (f"task={task.task}", "data=glue", f"data.source={write_glue(tmp_path / 'glue', config)}")
    rows = ("data.block_size=48", "data.tokens_per_batch=512", "trainer.max_epochs=null", "trainer.max_steps=2")
    objective = (f"objective=validation/{task.metrics[0]}", "objective_mode=max")
    result = run(*overrides, f"data.config={config}", *rows, *objective)
    assert {f"test/{name}" for name in task.metrics} <= result.metrics.keys()
    assert len(result.data.examples("test")) == 60  # the published validation split
    assert len(result.data.examples("train")) + len(result.data.examples("validation")) == 60
    assert result.data.recipe.paired == isinstance(task.column, list)


def test_texts_of_pairs_are_documents_of_masked_language_modelling(run, tmp_path):
    source = write_glue(tmp_path / "glue", "rte")
    result = run("data=glue", "data.config=rte", f"data.source={source}", "trainer.max_steps=1")
    assert sum(tokens.documents for tokens in result.data.tokens.values()) == 2 * 2 * 60


def test_sizes_are_compared_with_those_published_on_the_hub_alone(run, tmp_path):
    rows = ("data.block_size=48", "data.tokens_per_batch=512", "trainer.max_epochs=null", "trainer.max_steps=1")
    for name, told in (("own", False), ("nyu-mll/glue", True)):
        source = write_glue(tmp_path / name, "rte")
        result = run("task=classification", "data=glue", "data.config=rte", f"data.source={source}", *rows)
        remarks = " ".join(result.data.remarks())
        assert ("train of the source holds 60 texts; as published it has 2,490" in remarks) == told


def test_a_task_that_does_not_exist_is_refused_with_those_that_do(run, tmp_path):
    with pytest.raises(UserError, match="data.config=rta is no task of GLUE. Did you mean 'rte'"):
        glue("column", "rta")
    with pytest.raises(Exception, match="data.config=rta is no task of GLUE"):
        run("task=classification", "data=glue", "data.config=rta")
