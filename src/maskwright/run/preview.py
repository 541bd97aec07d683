"""Shows what a mask does to a text: a few draws on the terminal, and statistics over many draws."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.corpora.marks import Marks
from maskwright.data.corpus import Corpus
from maskwright.reports import masks
from maskwright.run.assemble import check_maskers, make_maskers, prepare, vocabulary_of
from maskwright.settings.commands import PreviewSettings

_STATISTICS = 1000  # draws


def preview(cfg: DictConfig) -> masks.Statistics:
    """Shows what a composed `conf/mask.yaml` describes; returns the statistics.

    Raises:
        UserError: the config or the data does not allow it.
    """
    settings = PreviewSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    output = None if settings.output is None else Path(settings.output).expanduser()
    if output is not None and output.suffix not in masks.WRITERS:
        raise UserError(
            f"output={settings.output} is no picture that can be written; it ends in {', '.join(masks.WRITERS)}."
        )
    data, parts = prepare(settings)
    texts, marks = _texts(settings, data)
    data.tokenizer.mask_id  # noqa: B018  raises where there is none
    maskers = make_maskers(settings, parts, vocabulary_of(data.tokenizer, data))
    check_maskers(maskers, data)
    masker = maskers["mask"]
    batch, shard = data.encode(texts, marks)

    out = console()
    rows = []
    for draw in range(settings.draws):
        batch["epochs"] = batch["epochs"].new_full((len(texts),), draw)
        cuts = masks.segments(masker, data.tokenizer, batch, shard, settings.progress)
        of = [f" of text {i}" for i in range(1, len(texts) + 1)] if len(texts) > 1 else [""]
        rows += [(f"draw {draw + 1}{which}", cut) for which, cut in zip(of, cuts, strict=True)]
    for title, cut in rows:
        out.print(f"{title}: ", end="")
        out.print(masks.on_terminal(cut))
    out.print(masks.legend())
    found = masks.statistics(masker, batch, shard, _STATISTICS, settings.progress)
    out.print(masks.table(found, _STATISTICS))
    if output is not None:
        masks.write(masks.Picture(settings.title, rows, settings.width), output)
        out.print(f"The picture is in {output}")
    return found


def _texts(settings: PreviewSettings, data: Corpus) -> tuple[list[str], list[Marks | None] | None]:
    """Returns the texts to show, and the marks of their corpus."""
    texts = settings.text
    if texts is None:
        return masks.held_out(data, 1)
    texts = [texts] if isinstance(texts, str) else texts
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise UserError(f"text={settings.text!r} is no text. Give one: text='A sentence to mask.'")
    return texts, None
