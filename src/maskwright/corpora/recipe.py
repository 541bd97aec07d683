"""What a config says about a corpus: its sources, and how documents are taken from each."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from typing_extensions import TypedDict

from maskwright.core.errors import UserError, nearest
from maskwright.core.types import NameOrShare, PathText, PositiveRate, Share
from maskwright.corpora.cleaning import Cleaner
from maskwright.corpora.labels import spelled
from maskwright.corpora.proportions import REPLAY, Proportions
from maskwright.corpora.source import Source
from maskwright.corpora.tag_schemes import Scheme

_FORMAT = 8  # increment when the same settings no longer give the same documents


@dataclass(frozen=True)
class SourceRecipe:
    """How documents are taken from one source.

    Args:
        source: where the documents come from.
        cleaning: names of the cleaning steps.
        splits: for each of train, validation and test, the name of a split of the source, names joined by `+`, or
            the share of what is taken for training that a hash of the text assigns to it.
        limit: take only the first documents of each split of the source, this many; or, where they have labels,
            this many chosen by a hash of their texts. None takes all.
        published: how many `texts`, `words` and `entities` (where they are tagged) splits of the source are known
            to hold; the name of a column of tags stands for the entities in that column.
        published_as: the names that the source has where `published` is about it: on the hub, of a folder, or of
            its files; None compares any source.
    Raises:
        UserError: the splits are not shares or names that make sense together.
    """

    source: Source
    cleaning: tuple[str, ...]
    splits: dict[str, str | float]
    limit: int | None
    published: dict[str, dict[str, int]] | None = None
    published_as: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        Cleaner(self.cleaning)
        if not isinstance(self.splits.get("train"), str):
            raise UserError("data.splits.train must name the split of the source to train on, such as 'train'.")
        shares = self.shares
        if not all(0 < share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
            given = ", ".join(f"data.splits.{name}={share}" for name, share in shares.items())
            raise UserError(f"{given}: each share must lie between 0 and 1, and leave some for training.")
        if self.limit is not None and self.limit < 1:
            raise UserError(f"data.limit={self.limit} takes no documents; it is at least 1, or null for all.")

    @property
    def is_published(self) -> bool:
        """Whether the source has one of the names of `published_as`."""
        if self.published_as is None:
            return True
        kind, paths = self.source.find()
        place = "/" + str(self.source).strip("/")
        names = {path.name for path in paths} if kind in ("columns", "tree") else set()
        return any(
            str(self.source) == name or ("/" in name and place.endswith(f"/{name}")) or name in names
            for name in self.published_as
        )

    @property
    def shares(self) -> dict[str, float]:
        """The splits that are taken by hash from the source's training split, with their shares."""
        return {name: float(share) for name, share in self.splits.items() if not isinstance(share, str)}

    @property
    def named(self) -> dict[str, list[str]]:
        """What is read of the source, spelled as in `splits` (names joined by `+`), and for which splits."""
        named: dict[str, list[str]] = {}
        for split, taken in self.splits.items():
            if isinstance(taken, str):
                named.setdefault(taken, []).append(split)
        return named

    @property
    def taken(self) -> list[str]:
        """The splits of the source that are read, each once."""
        return list(dict.fromkeys("+".join(self.named).split("+")))

    def settings(self) -> list[Any]:
        """Returns everything that the documents depend on."""
        return [_FORMAT, self.source.identity(), self.cleaning, sorted(self.splits.items()), self.limit]

    def reread(self) -> None:
        """Reads the source once more, so that its readers report a row that they refuse.

        Raises:
            UserError: there is such a row.
        """
        source = self.read_source()
        for split in self.taken:
            for _ in self.read(split, source):
                pass

    def read_source(self) -> Source:
        """Returns the source with the scheme of its tags, which its training split shows."""
        return self.source.with_scheme(str(self.splits["train"]))

    def read(self, split: str, source: Source) -> Iterator[Any]:
        """Yields the raw documents of a split; see `Source.read`. Those to train on need labels.

        Args:
            source: what `read_source` returned.
        """
        return source.read(split, unlabelled=split not in str(self.splits["train"]).split("+"))


def source_recipe(
    source: PathText | Sequence[PathText],
    config: str | None = None,
    column: str | int | Sequence[str | int] = "text",
    document: Literal["row", "paragraph", "file", "article"] = "row",
    cleaning: Sequence[str] | None = None,
    splits: dict[str, NameOrShare] | None = None,
    limit: int | None = None,
    tags: str | int | None = None,
    label: str | int | Sequence[str | int] | None = None,
    labels: Sequence[str | int | float] | None = None,
    published: dict[str, dict[str, int]] | None = None,
    published_as: Sequence[str] | None = None,
    scheme: Scheme | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    header: bool = True,
    label_names: Mapping[Any, Any] | None = None,
    question: str | int | None = None,
    answers: str | int | None = None,
    article: str | int | None = None,
) -> SourceRecipe:
    """Returns the recipe that a config describes for one source; see `Source` and `SourceRecipe`."""
    where = Source(
        source if isinstance(source, str) else tuple(source),
        config,
        column if isinstance(column, str | int) else tuple(column),
        document,
        tags,
        label if isinstance(label, str | int | None) else tuple(label),
        None if labels is None else tuple(map(spelled, labels)),
        scheme,
        encoding,
        delimiter,
        header,
        None if label_names is None else {spelled(old): spelled(new) for old, new in label_names.items()},
        question,
        answers,
        article,
    )
    names = None if published_as is None else tuple(published_as)
    return SourceRecipe(where, tuple(cleaning or ()), dict(splits or {}), limit, published, names)


if TYPE_CHECKING:
    SourceSettings = dict[str, Any]
    ReplaySettings = dict[str, Any]
else:  # the types of the settings of one of several sources, for those who read a config
    _HINTS = get_type_hints(source_recipe, include_extras=True)
    SourceSettings = TypedDict("SourceSettings", _HINTS | {"weight": PositiveRate | None}, total=False)
    _WHERE = {"source": _HINTS["source"] | None, "share": Share}
    ReplaySettings = TypedDict("ReplaySettings", _HINTS | _WHERE, total=False)

SOURCE_KEYS = tuple(inspect.signature(source_recipe).parameters)  # of the config, for each source


def sources_of(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the settings of each source of the config group `data`, by the names of the sources.

    A single source, whose settings are in the group itself, has the name "", and that of `data.replay`, which comes
    last, `REPLAY`. `data.labels` applies to all other sources.
    """
    sources, replay = data.get("sources"), data.get("replay") or {}
    shared = {} if data.get("labels") is None else {"labels": data["labels"]}
    if sources is None:
        found = {"": {key: data[key] for key in SOURCE_KEYS if key in data}}
    else:
        found = {
            name: {**{key: value for key, value in own.items() if key != "weight"}, **shared}
            for name, own in sources.items()
        }
    if replay.get("source") is not None:
        found[REPLAY] = {key: value for key, value in replay.items() if key != "share"}
    return found


def pair_columns(data: Mapping[str, Any]) -> list[str | int] | None:
    """Returns the two columns of the pairs of texts in the config group `data`; None if its texts are single."""
    column = next(iter(sources_of(data).values()), {}).get("column")
    return list(column) if isinstance(column, list | tuple) else None


def check_held_out(data: Mapping[str, Any]) -> None:
    """Checks that the config group `data` of a training run does not train on what it evaluates.

    Raises:
        UserError: a split of a source is named for training, and for validation or test too.
    """
    for name, settings in sources_of(data).items():
        splits, key = settings.get("splits") or {}, f"{key_of(name)}.splits"
        for split in ("validation", "test"):
            taken, train = splits.get(split), str(splits.get("train"))
            if isinstance(taken, str) and {*taken.split("+")} & {*train.split("+")}:
                raise UserError(
                    f"{key}.{split}={taken}, but {key}.train={train} trains on that. Name another split of the "
                    f"source, or set a share: {key}.{split}=0.05"
                )


def key_of(name: str) -> str:
    """Returns the place in the config of the settings of a source, by its name in `sources_of`."""
    if name == REPLAY:
        return "data.replay"
    return f"data.sources.{name}" if name else "data"


@dataclass(frozen=True)
class Recipe:
    """A corpus: the documents of one source, or of several.

    Args:
        sources: by their names, in this order; a single one has the name "".
        proportions: how much of each source is seen in training; documents do not depend on it.
    """

    sources: dict[str, SourceRecipe]
    proportions: Proportions = field(default_factory=Proportions)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Recipe":
        """Returns the recipe for the config group `data`.

        Raises:
            UserError: not exactly one of `source` and `sources` is given, or their settings are invalid.
        """
        if (data.get("source") is None) == (data.get("sources") is None):
            raise UserError("A corpus has either data.source or data.sources. Set exactly one of them.")
        proportions = Proportions.of(data)
        if data.get("replay") and proportions.replay is None:  # what is set is right, though nothing is replayed
            _checked(REPLAY, {key: own for key, own in data["replay"].items() if key != "share"} | {"source": "."})
        found = cls({name: _checked(name, settings) for name, settings in sources_of(data).items()}, proportions)
        tagged = [key_of(name) for name, own in found.sources.items() if own.source.tags is not None]
        if tagged and not proportions.are_sizes:
            raise UserError(
                f"{tagged[0]}.tags is set, but sources with tags cannot be weighted: they are read as one. Leave "
                "tags at null, or set neither weights, a temperature nor data.replay."
            )
        return found

    def __str__(self) -> str:
        return ", ".join(f"{key_of(name)}.source='{own.source}'" for name, own in self.sources.items())

    @property
    def tagged(self) -> bool:
        """Whether all words of the documents have tags."""
        return all(own.source.tags is not None for own in self.sources.values())

    @property
    def paired(self) -> bool:
        """Whether each document is a pair of texts.

        Raises:
            UserError: those of some sources are, those of others are not.
        """
        pairs = {name: own.source.paired for name, own in self.sources.items()}
        if len({*pairs.values()}) > 1:
            shown = ", ".join(f"{key_of(name)}.column" for name, is_pair in pairs.items() if is_pair)
            raise UserError(f"{shown} names the columns of pairs of texts, and other sources have single texts.")
        return all(pairs.values())

    def settings(self) -> list[Any]:
        """Returns everything that the documents depend on."""
        settings = [own.settings() for own in self.sources.values()]
        return settings[0] if len(settings) == 1 else settings

    def reread(self) -> None:
        """Reads all sources once more; see `SourceRecipe.reread`."""
        for own in self.sources.values():
            own.reread()


def _checked(name: str, settings: dict[str, Any]) -> SourceRecipe:
    if not name:
        return source_recipe(**settings)
    key = key_of(name)
    for setting in settings:
        if setting not in SOURCE_KEYS:
            raise UserError(
                f"{key}.{setting} is no setting of a source.{nearest(setting, SOURCE_KEYS)} "
                f"Its settings are: {', '.join(SOURCE_KEYS)}."
            )
    if settings.get("source") is None:
        raise UserError(f"{key}.source is missing: name what the documents are read from.")
    try:
        return source_recipe(**settings)
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
