"""The pictures in docs/masking.md are those that `scripts/documents/draw_masks.py` draws."""

import importlib.util

from tests.conftest import ROOT
from tests.masking.test_strategies import STRATEGIES


def test_pictures_are_up_to_date(tmp_path):
    spec = importlib.util.spec_from_file_location("draw_masks", ROOT / "scripts" / "documents" / "draw_masks.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.draw(tmp_path / "pictures", cache=str(tmp_path / "cache"))
    for strategy in STRATEGIES:
        drawn = (tmp_path / "pictures" / f"{strategy}.svg").read_text()
        assert (ROOT / "docs" / "pictures" / f"{strategy}.svg").read_text() == drawn, strategy


def test_the_document_shows_every_strategy():
    text = (ROOT / "docs" / "masking.md").read_text()
    for strategy in STRATEGIES:
        section = text.split(f"## `{strategy}`")[1].split("\n## ")[0]
        assert f"](pictures/{strategy}.svg)" in section
        for part in ("Source:", "Use it"):
            assert part in section, (strategy, part)
