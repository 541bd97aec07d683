"""Draws the pictures of docs/masking.md, one per strategy, into docs/pictures/.

    python scripts/documents/draw_masks.py

Each shows three draws of `python src/mask.py mask=<strategy>` on the corpus of the default run.
"""

import argparse
from pathlib import Path

from hydra import compose, initialize_config_dir

from maskwright.run.overrides import quoted
from maskwright.run.preview import preview

ROOT = Path(__file__).resolve().parents[2]
TEXT = (
    "Albert Einstein was born in the German Empire on 14 March 1879. The Nobel Prize in Physics came in 1921, "
    "late, and unfortunately a great war, a terrible one, had torn his beautiful continent apart."
)
GRID = " ".join("." * 196)  # 14 lines of 14
OF_BLOCKS = {"text": GRID, "width": 27, "mask.ratio": 0.4, "mask/corruption": "mask_only"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--cache", help="folder for prepared corpora; by default that of all runs")
    arguments = parser.parse_args()
    draw(arguments.folder, arguments.cache)


def draw(folder: Path, cache: str | None = None) -> None:
    """Writes `<strategy>.svg` for each option of conf/mask."""
    conf = str(ROOT / "conf")
    for strategy in sorted(path.stem for path in (ROOT / "conf" / "mask").glob("[!_]*.yaml")):
        settings = {"mask": strategy, "text": TEXT, "draws": 3, "title": f"mask={strategy}", "width": 100}
        settings |= OF_BLOCKS if strategy == "block" else {}
        settings |= {"output": folder / f"{strategy}.svg"} | ({"data.cache_dir": cache} if cache else {})
        overrides = quoted([f"{key}={value}" for key, value in settings.items()], conf, "mask")
        with initialize_config_dir(conf, version_base="1.3"):
            preview(compose("mask", overrides))


if __name__ == "__main__":
    main()
