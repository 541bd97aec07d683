"""Copies the code of models into a folder, flat, so that it runs without this package."""

import importlib.util
import re
from pathlib import Path

_ENTRY, _NAME = "maskwright.export.modeling", "modeling_maskwright"
_IMPORT = re.compile(r"^(\s*)from (maskwright\.[\w.]+) import", re.M)
# modules that would need other packages, or a new version of torch, and what stands for them
_INSTEAD = {
    "maskwright.core.types": '"""Types of settings, which are checked in training."""\n\n'
    "PositiveCount = Count = int\nPositiveRate = Rate = Share = float\nPathText = str\n",
    "maskwright.models.layers.varlen_attention": '"""Packed documents, which only training knows."""\n\n\n'
    'class Sequences:\n    """Never made here."""\n',
}


def write_code(folder: Path) -> None:
    """Writes `modeling_maskwright.py` and the files that it needs beside it."""
    sources: dict[str, str] = {}
    waiting = [_ENTRY]
    while waiting:
        module = waiting.pop()
        if module not in sources:
            sources[module] = _INSTEAD.get(module) or _source(module)
            waiting += [found[2] for found in _IMPORT.finditer(sources[module])]
    for module, source in sources.items():
        rewritten = _IMPORT.sub(lambda found: f"{found[1]}from .{_flat(found[2])} import", source)
        if module == _ENTRY:
            # transformers copies the files that this one names, and not those that they name in turn
            direct = {found[2] for found in _IMPORT.finditer(source)}
            others = sorted({*sources} - direct - {_ENTRY})
            lines = "".join(f"from .{_flat(one)} import __doc__ as _{_flat(one)}  # noqa: F401\n" for one in others)
            rewritten += "\n\n# files that those above need\n" + lines
        (folder / f"{_flat(module)}.py").write_text(rewritten)


def _flat(module: str) -> str:
    return _NAME if module == _ENTRY else module.removeprefix("maskwright.").replace(".", "_")


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text()
