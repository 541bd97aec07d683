"""Writes text with a finished run or a model of the hub."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.text import Text

from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.inference.generate import CHAINS, Chains, Plan, Proposals, Recipe, diversity, template_of, write
from maskwright.inference.masked_model import MaskedModel
from maskwright.inference.score import score
from maskwright.reports.chain_plot import draw_chains
from maskwright.run.ask import Texts, deliver, masked_model, open_saved, texts_of
from maskwright.run.output import Row, Rows, checked_output
from maskwright.run.trainer import quiet
from maskwright.settings.commands import GenerateSettings
from maskwright.text.masked_text import MaskedText, MaskReader


def run_generate(cfg: DictConfig) -> int:
    """Writes the texts that a composed `conf/generate.yaml` describes; returns their number.

    Raises:
        UserError: there is no such model, it predicts no masked tokens, or there is nothing to be written.
    """
    quiet()
    asked = GenerateSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    checked_output(asked.output, asked.overwrite)  # before the work
    recipe = _recipe(asked)
    texts = _texts(asked)
    plot = _plot(asked, texts)
    saved = open_saved(asked)
    writer = Writer(masked_model(asked, saved), asked, recipe, plot)
    rows: Rows[MaskedText] = Rows(
        windows=_checked(writer, texts),
        make=lambda template: writer.rows(template, _said(rows)),
        texts=lambda template: [template.text] * writer.size,
        size=writer.size,
        total=None if texts.number is None else texts.number * writer.size,
        doing="Generating",
    )
    settings = asked.model_dump(exclude={"run", "output", "overwrite", "plot", "tokens_per_batch", "hardware"})
    return deliver(rows, asked, saved, show, [texts.identity, settings], "texts")


def _said(rows: Rows[MaskedText]) -> Callable[[str], None]:
    """Returns what shows on the progress bar of rows how far the making of some of them is."""
    return lambda said: rows.bar.advance(0, said) if rows.bar is not None else None


def _recipe(asked: GenerateSettings) -> Recipe:
    """Returns how text is written.

    Raises:
        UserError: settings do not fit together.
    """
    if asked.long != "refuse":
        raise UserError(f"long={asked.long}, but what is written together has to fit in one row. Leave it out.")
    if asked.block_length is not None and asked.method not in ("ancestral", "confidence"):
        raise UserError(
            f"block_length={asked.block_length} is of method=ancestral and method=confidence, not of "
            f"{asked.method}. Leave it at null, or choose one of them."
        )
    if asked.method not in CHAINS and asked.samples > 1:
        raise UserError(
            f"samples={asked.samples}, but {asked.method} writes one text in each chain. Set "
            f"chains={asked.samples} instead."
        )
    return Recipe(
        asked.method,
        Proposals(asked.temperature, asked.top_k, asked.top_p),
        Plan(asked.burn_in, asked.samples, asked.thin, asked.block),
        asked.energy,
        asked.energy_temperature,
        asked.passes,
        asked.decay,
        asked.block_length,
        traced=asked.plot is not None,
    )


def _texts(asked: GenerateSettings) -> Texts:
    """Returns the templates; an empty one where only their length is given."""
    if asked.text is None and asked.file is None:
        if asked.length is None:
            raise UserError(
                'There is nothing to write. Name a text with masks, as text="The [MASK] sat on the mat.", or a '
                "number of tokens: length=12"
            )
        return Texts(lambda: iter([""]), 1, "")
    return texts_of(asked)


def _plot(asked: GenerateSettings, texts: Texts) -> Path | None:
    """Returns the file of the picture.

    Raises:
        UserError: it is no PNG file, or there is no one set of chains to draw.
    """
    if asked.plot is None:
        return None
    path = Path(asked.plot).expanduser()
    if path.suffix != ".png":
        raise UserError(f"plot={asked.plot} is no picture that can be written; it ends in .png.")
    if asked.method not in CHAINS:
        raise UserError(f"plot: {asked.method} has no chains to draw. Choose method=gibbs or method=metropolis.")
    if texts.number != 1:
        raise UserError("plot draws the chains of one text. Give one by text=…, or leave plot out.")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _checked(writer: "Writer", texts: Texts) -> Iterator[MaskedText]:
    """Returns the templates; where they can be read twice, all are checked before anything is written."""
    if texts.number is not None:
        for text in texts.read():
            writer.template(text)
    return map(writer.template, texts.read())


class Writer:
    """Writes texts with a model, and says how good they are."""

    def __init__(self, model: MaskedModel, asked: GenerateSettings, recipe: Recipe, plot: Path | None):
        self.model, self.asked, self.recipe, self.plot = model, asked, recipe, plot
        self.reader = MaskReader(model)
        self.size = asked.chains * asked.samples

    def template(self, text: str) -> MaskedText:
        return template_of(self.reader, text, self.asked.length, self.model.room)

    def rows(self, template: MaskedText, progress: Callable[[str], None]) -> list[Row]:
        """Returns a row for each sample of each chain, and draws the chains."""
        written = write(self.model, template, self.recipe, self.asked.chains, self.asked.seed, progress)
        if self.plot is not None and written.chains is not None:
            self._draw(self.plot, written.chains)
        places = list(np.ndindex(self.asked.chains, self.asked.samples))
        texts = [self.reader.filled(template, written.tokens[place].tolist()) for place in places]
        progress("scoring")
        scores = score(self.model, texts)
        tokens = sum(len(own.encoded.ids) for own in scores)
        together = diversity(texts)._asdict() | {
            "pseudo_perplexity_of_all": math.exp(-sum(own.pll for own in scores) / tokens) if tokens else None
        }
        return [
            {
                "text": template.text,
                "chain": chain,
                "sample": sample,
                "written": text,
                "tokens": [self.reader.spelling(int(i)) for i in written.tokens[chain, sample]],
                "pseudo_perplexity": _rounded(own.pseudo_perplexity),
                **self._of_chain(written.chains, chain, sample),
                **{name: _rounded(value) for name, value in together.items()},
            }
            for (chain, sample), text, own in zip(places, texts, scores, strict=True)
        ]

    def _of_chain(self, chains: Chains | None, chain: int, sample: int) -> Row:
        """Returns what Metropolis-Hastings says about a sample, and about all sweeps of its chain."""
        if self.recipe.method != "metropolis" or chains is None:
            return {}
        assert chains.energies is not None
        found = {name: getattr(chains, name)[chain].mean() for name in ("accepted", "changed", "impossible")}
        energy = chains.energies[chain, self.recipe.plan.burn_in + sample * self.recipe.plan.thin]
        return {name: _rounded(value) for name, value in {"energy": energy, **found}.items()}

    def _draw(self, path: Path, chains: Chains) -> None:
        assert chains.energies is not None
        accepted = chains.accepted if self.recipe.method == "metropolis" else None
        unit = "energy, nats" if self.recipe.energy == "local" else "energy, logits"
        draw_chains(path, chains.energies, accepted, self.recipe.plan.burn_in, unit)
        console().print(f"The picture is in {path}")


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(f"{value:.6g}")


def _quality(perplexity: float | None) -> str:
    return "no tokens" if perplexity is None else f"pseudo-perplexity {perplexity:,.1f}"


def show(rows: Sequence[Row], stream: TextIO) -> None:
    """Prints what was written for one text."""
    shown = console(stream)
    if rows[0]["text"]:
        shown.print(Text(rows[0]["text"], style="bold"))
    for row in rows:
        energy = f"  energy {row['energy']:.2f}" if "energy" in row else ""
        shown.print(f"  {row['written']}  ({_quality(row['pseudo_perplexity'])}{energy})")
    first = rows[0]
    said = [_quality(first["pseudo_perplexity_of_all"])]
    for name in ("distinct_1", "distinct_2", "self_bleu"):
        if first[name] is not None:
            said.append(f"{name.replace('_', '-')} {first[name]:.3f}")
    if "accepted" in first:
        accepted, changed, impossible = (
            float(np.mean([row[name] for row in rows])) for name in ("accepted", "changed", "impossible")
        )
        said.append(f"{accepted:.1%} of the steps accepted, {changed:.1%} changed a token")
        if impossible:
            said.append(f"{impossible:.1%} rejected because top_k or top_p exclude the way back")
    shown.print(f"  {len(rows)} texts: {', '.join(said)}")
