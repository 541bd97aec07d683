"""The processes that prepare a corpus."""

import subprocess
import sys
from pathlib import Path

import pytest

from maskwright.core.paths import cache_folder
from tests.conftest import compose_train

# the modules that these processes unpickle objects of, including our annotations
MODULES = "corpora.documents corpora.reading text.tokens annotations.annotation annotations.first_tokens"


def test_preparing_processes_import_neither_torch_nor_lightning():
    """Importing them would take each process two seconds."""
    imports = "".join(f"import maskwright.{module}\n" for module in MODULES.split())
    code = f"import sys\n{imports}print(*sorted({{'torch', 'lightning', 'datasets'}} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("damage", ["cut", "deleted"])
@pytest.mark.parametrize("name", ["documents-*/train.arrow", "documents-*/notes.json", "tokens-*/train/ids.bin"])
def test_a_damaged_cache_is_made_anew(make, tmp_path, name, damage):
    before = make(cache_dir=str(tmp_path)).tokens["train"].ids.tolist()
    [path] = tmp_path.glob(name)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.unlink()
    assert make(cache_dir=str(tmp_path)).tokens["train"].ids.tolist() == before


def test_an_empty_name_of_the_cache_is_the_default(monkeypatch):
    monkeypatch.setenv("MASKWRIGHT_CACHE", "")
    assert compose_train().data.cache_dir == ""
    assert cache_folder("") == Path.home() / ".cache" / "maskwright"
