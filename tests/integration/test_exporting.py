"""`src/export.py`: what was trained here, opened by others."""

import pytest
from tests.conftest import compose_command

from maskwright.run.export import export

PLAIN = ("model.convolution=0", "model.query_key_norm=false", "model.value_residual=false")


def exported(run_dir, *overrides):
    return export(compose_command("export", f"run={run_dir}", *overrides))


@pytest.mark.parametrize("options", [PLAIN, ()])
def test_masked_language_models_open_in_transformers(run, options):
    run_dir = run(*options).run_dir
    folder = exported(run_dir)
    assert folder.is_dir()
