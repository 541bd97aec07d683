"""The processes that prepare a corpus."""

import subprocess
import sys

# the modules that these processes unpickle objects of, including our annotations
MODULES = "corpora.documents corpora.reading text.tokens annotations.annotation annotations.first_tokens"


def test_preparing_processes_import_neither_torch_nor_lightning():
    """Importing them would take each process two seconds."""
    imports = "".join(f"import maskwright.{module}\n" for module in MODULES.split())
    code = f"import sys\n{imports}print(*sorted({{'torch', 'lightning', 'datasets'}} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
