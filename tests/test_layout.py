"""The rules of CONTRIBUTING.md about the layout of the code."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "maskwright"
MODULES = sorted(PACKAGE.rglob("*.py"))
PROGRAMS = sorted((ROOT / "scripts").rglob("*.py"))


def test_nearly_all_modules_are_in_packages():
    assert sorted(path.name for path in PACKAGE.glob("*.py")) == ["__init__.py", "cli.py"]


@pytest.mark.parametrize("path", MODULES + PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_have_at_most_60_lines(path):
    """Including their docstrings."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{path}:{node.lineno}: {node.name}"


def test_only_tasks_check_for_task_classes_and_only_models_for_encoder_classes():
    from maskwright import models, tasks

    classes = {
        "tasks": {name for name in tasks.__all__ if name not in ("Metric", "Baseline", "TaskSpec", "FineTuning")},
        "models": {"Encoder", "BaseEncoder", "CNN", "LSTM", "MLP", "Pretrained", "Transformer"}
        & set(models.__all__),
    }
    for path in MODULES:
        own = path.relative_to(PACKAGE).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass")):
                continue
            asked = {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
            for package, names in classes.items():
                assert own == package or not asked & names, f"{path}:{node.lineno}"
