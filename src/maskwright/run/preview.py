"""What a mask does to a text: drawn a few times on the terminal, with statistics over many draws."""

from pathlib import Path
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.reports import masks
from maskwright.run.assemble import make_data, make_maskers, mask_parts
from maskwright.settings.build import check_type, verify
from maskwright.settings.checks import SEED, check_blocks, check_keys, check_mask

KEYS = "data tokenizer mask hardware text draws progress seed output width title".split()
_STATISTICS = 1000  # draws


def preview(cfg: DictConfig) -> masks.Statistics:
    """Shows what a composed `conf/mask.yaml` describes; returns the statistics.

    Raises:
        UserError: the config or the data does not allow it.
    """
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    check_keys(config, KEYS)
    check_mask(config["mask"], "mask")
    check_type(config["seed"], SEED, "seed")
    check_blocks(config["data"])
    verify({"_target_": "maskwright.run.trainer.Hardware", **config["hardware"]}, "hardware")
    output = None if config["output"] is None else Path(config["output"]).expanduser()
    if output is not None and output.suffix not in masks.WRITERS:
        raise UserError(
            f"output={config['output']} is no picture that can be written; it ends in {', '.join(masks.WRITERS)}."
        )
    check_type(config["progress"], Annotated[float, Field(ge=0, le=1)], "progress")
    if not isinstance(config["draws"], int) or config["draws"] < 1:
        raise UserError(f"draws={config['draws']!r} is not a whole number of at least 1.")
    check_type(config["width"], Annotated[int, Field(ge=20)], "width")
    data = make_data(config, mask_parts(config))
    data.prepare_data()
    data.setup()
    texts, marks = config["text"], None
    if texts is None:
        texts, marks = masks.held_out(data, 1)
    texts = [texts] if isinstance(texts, str) else texts
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise UserError(f"text={config['text']!r} is no text. Give one: text='A sentence to mask.'")
    masker = make_maskers(config, data)["mask"]
    batch, piece = data.encode(texts, marks)

    out = console()
    rows = []
    for draw in range(config["draws"]):
        batch["epochs"] = batch["epochs"].new_full((len(texts),), draw)
        cuts = masks.parts(masker, data.tokenizer, batch, piece, config["progress"])
        of = [f" of text {i}" for i in range(1, len(texts) + 1)] if len(texts) > 1 else [""]
        rows += [(f"draw {draw + 1}{which}", cut) for which, cut in zip(of, cuts, strict=True)]
    for title, cut in rows:
        out.print(f"{title}: ", end="")
        out.print(masks.on_terminal(cut))
    out.print(masks.legend())
    found = masks.statistics(masker, batch, piece, _STATISTICS, config["progress"])
    out.print(masks.table(found, _STATISTICS))
    if output is not None:
        masks.write(masks.Picture(config["title"], rows, config["width"]), output)
        out.print(f"The picture is in {output}")
    return found
