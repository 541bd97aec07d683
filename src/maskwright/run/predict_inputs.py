"""Which texts `src/predict.py` makes predictions for: those of a source, of the command line, or of stdin."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

from maskwright.core.errors import UserError
from maskwright.corpora import files, wikimedia
from maskwright.corpora.cleaning import Cleaner
from maskwright.corpora.inputs import Input, inputs
from maskwright.corpora.labels import Labelled, Tagged
from maskwright.corpora.recipe import SOURCE_KEYS, source_recipe, sources_of
from maskwright.corpora.rows import listed
from maskwright.corpora.source import Source
from maskwright.run.ask import STDIN, given_texts, stdin_lines
from maskwright.run.assemble import is_option, other_data
from maskwright.run.saved import SavedRun
from maskwright.settings.commands import PredictSettings


class Texts(NamedTuple):
    """Texts in their order.

    Attributes:
        read: returns them; empty ones too.
        identity: what they depend on, in plain containers.
        number: how many there are; None where that is unknown.
    """

    read: Callable[[], Iterator[Input]]
    identity: Any
    number: int | None = None


def texts_of(asked: PredictSettings, saved: SavedRun, overrides: Sequence[str] = ()) -> Texts:
    """Returns the texts that the command asks for, cleaned as those of the run.

    Args:
        overrides: the overrides of the command line; with `data.cleaning` texts are cleaned as that says.
    Raises:
        UserError: it names no texts or several kinds of them, or they do not exist.
    """
    own = saved.config["data"]
    given, chosen = other_data(asked.data), is_option(asked.data)
    if asked.text is not None and (chosen or given.get("source") is not None):
        raise UserError("text and data are both given. Name the texts by one of them.")
    steps = cleaning_of(given if any(o.lstrip("+").startswith("data.cleaning=") for o in overrides) else own)
    assert saved.labels is not None
    rule = asked.words if saved.labels.kind == "tags" else None
    made = partial(inputs, clean=Cleaner(steps), rule=rule)
    identity: list[Any] = [steps, rule]
    pair = saved.pair_columns
    if asked.text is not None:
        if pair is not None:
            raise UserError(
                f"run='{asked.run}' learned from pairs of texts (data.column={listed(pair)}), and text gives "
                f"single ones. Name a file with both: data=csv data.source=new.csv data.column={listed(pair)}"
            )
        texts = given_texts(asked.text)
        if texts == [STDIN]:
            return Texts(lambda: made(stdin_lines()), [*identity, STDIN])
        return Texts(lambda: made(texts), [*identity, texts], len(texts))
    if not chosen and given.get("source") is None:
        raise UserError(
            "There are no texts to predict for. Name them: data=csv data.source=new.csv, text='A text', or - for "
            "stdin."
        )
    data = dict(given) if chosen else {**own, **{key: value for key, value in given.items() if value is not None}}
    source, limit = _source(data), data.get("limit")
    if source.paired != (pair is not None):
        read = f"single texts (data.column={source.column})" if pair else "pairs of texts"
        learned = f"pairs of texts: data.column={listed(pair)}" if pair else "single texts: data.column=text"
        raise UserError(f"data.column names the columns of {read}, but run='{asked.run}' learned from {learned}")
    splits = _split(source, asked.split)
    return Texts(
        lambda: made(islice(_raw(source, splits), limit)), [*identity, source.identity(), splits, limit], limit
    )


def cleaning_of(data: Mapping[str, Any]) -> list[str]:
    """Returns the cleaning steps of a config group `data`; of several sources, those of the first."""
    return list(next(iter(sources_of(data).values())).get("cleaning") or ())


def _source(data: Mapping[str, Any]) -> Source:
    """Returns the source of a config group `data`, whose labels are not read."""
    if data.get("sources") is not None and data.get("source") is None:
        raise UserError("Predictions are made for one source. Choose one: data=text data.source=…")
    settings = {key: data[key] for key in SOURCE_KEYS if key in data}
    unused = {"label": None, "labels": None, "scheme": "plain", "published": None, "splits": {"train": "train"}}
    source = source_recipe(
        **{**settings, **{key: value for key, value in unused.items() if key in SOURCE_KEYS}}
    ).source
    return replace(source, document=files.EACH) if source.document == "row" else source


def _split(source: Source, asked: str | None) -> str:
    if asked is not None:
        return asked
    held = sorted(source.splits())
    if len(held) == 1:
        return held[0]
    has = f"has the splits {', '.join(held)}" if held else "does not say which splits it has"
    raise UserError(f"data.source='{source.source}' {has}. Name one, or several: split={'+'.join(held) or 'test'}")


def _raw(source: Source, splits: str) -> Iterator[str | Labelled | Tagged]:
    texts: Iterable[Any] = chain.from_iterable(
        source.read(split, unlabelled=source.document == files.EACH) for split in splits.split("+")
    )
    return map(wikimedia.plain_text, texts) if source.find()[0] == "dump" else iter(texts)
