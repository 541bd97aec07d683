"""`data.source`: from a name or a path to a stream of raw documents."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from maskwright.core.errors import UserError, nearest
from maskwright.corpora import (
    columns,
    file_labels,
    files,
    found,
    hub,
    labelled_folders,
    listing,
    tag_schemes,
    wikimedia,
)
from maskwright.corpora.decoding import unreadable
from maskwright.corpora.labels import Labelled, Spelling, Tagged
from maskwright.corpora.questions import Asked
from maskwright.corpora.rows import Format, columns_of, listed, texts_of
from maskwright.corpora.tag_schemes import Scheme, check_scheme, find_scheme

_OF_HUB = ("hub", "folder", "saved")  # kinds of sources that `datasets` reads
# bytes of a folder in the hub's layout that is worth being prepared file by file: each start then asks `datasets`,
# which takes a second to import, for the split of each file
_LARGE = 2**28


class Part(NamedTuple):
    """Some files of a source, and which split of the whole each of them is of."""

    found: found.Found
    by_split: dict[str, list[Path]]


@dataclass(frozen=True)
class Source:
    """Where documents come from, and how they are stored there.

    The files of a source are searched for once; what is in them is read anew each time.

    Args:
        source: a hub name; a folder in the hub's layout, or one that `save_to_disk` wrote; a Wikimedia dump (.xml,
            .xml.bz2, .xml.gz); a file, folder or glob of .txt, .csv, .tsv, .jsonl, .json or .parquet, or several
            of them; `pkg://package/path` for a file that an installed package contains.
        config: the configuration of a data set of the hub; None takes its default.
        column: the column that holds the text, in files with columns, by its name or its number from 1, or the two
            columns of pairs of texts; of files with a word per line, see `columns.read`.
        document: what a document is in a .txt file, or in rows that hold less than one: `row` (a line,
            a row), `paragraph` (up to an empty line or row), `file`, `article` (up to the next heading
            ` = Title = `, as in WikiText); or `files.EACH`.
        tags: the column of tags beside a column of words, in data sets of the hub and in its layout; of files with
            a word per line, see `columns.read`.
        label: the column of labels, in files with columns, or the columns of several, which hold 1 where a text has
            the label; `file` for .txt files that are named by their labels.
        labels: the labels that may occur; None allows all.
        scheme: of the tags; None is found out by `with_scheme`.
        encoding, delimiter, header: see `Format`.
        label_names: other names of labels, by the names that the data has.
        question, answers: the columns of questions about the contexts in `column`, and of their answers, see
            `questions.asked`; a column `id` is read too, if there is one.
        article: the column of the article that a context is a part of, if the data has it.
        part: the files that are read, of a source that `only` has cut; None reads all.
    """

    source: str | tuple[str, ...]
    config: str | None
    column: str | int | tuple[str | int, ...]
    document: Literal["row", "paragraph", "file", "article", "each"]
    tags: str | int | None = None
    label: str | int | tuple[str | int, ...] | None = None
    labels: tuple[str, ...] | None = None
    scheme: Scheme | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header: bool = True
    label_names: Mapping[str, str] | None = None
    question: str | int | None = None
    answers: str | int | None = None
    article: str | int | None = None
    part: Part | None = None

    def __post_init__(self) -> None:
        known = ("row", "paragraph", "file", "article")
        if self.document not in (*known, files.EACH):
            raise UserError(
                f"data.document is '{self.document}'.{nearest(self.document, known)} "
                f"It is one of: {', '.join(known)}."
            )
        if self.tags is not None and self.label is not None:
            raise UserError("data.tags and data.label are both set; a text has tags for its words, or a label.")
        check_scheme(self.scheme)
        if (self.question is None) != (self.answers is None):
            raise UserError(
                f"data.question={self.question} and data.answers={self.answers} name the columns of questions and "
                "of their answers. Set both, or none."
            )
        if self.question is not None and (self.label is not None or self.tags is not None):
            raise UserError("data.question is set, and data.label or data.tags too. A question has answers alone.")
        if self.label is not None and self.document != "row":
            raise UserError(f"data.label={self.label} labels rows; set data.document=row.")
        self._check_columns()

    def _check_columns(self) -> None:
        """Raises a UserError if `column` or `label` names columns that make no pair, or no several labels."""
        for key, given, wanted in (
            ("column", self.column, "A text is read from one column, and a pair of texts from two"),
            ("label", self.label, "Several labels are read from two columns or more"),
        ):
            if not isinstance(given, tuple):
                continue
            if len(given) < 2 or (key == "column" and len(given) > 2):
                raise UserError(f"data.{key}={listed(given)} names {len(given)}. {wanted}.")
            if len({*map(str, given)}) < len(given):
                raise UserError(f"data.{key}={listed(given)} names a column twice. {wanted}.")
        if self.paired and (self.tags is not None or self.document not in ("row", files.EACH)):
            key = f"data.document={self.document}" if self.tags is None else f"data.tags={self.tags}"
            raise UserError(f"{key} does not go with pairs of texts ({self._pair}).")
        if (named := self.columns_of_labels) is not None and {*(self.labels or named)} != {*named}:
            raise UserError(
                f"data.labels={listed(self.labels or ())}, but the labels are the columns "
                f"data.label={listed(named)}. Leave data.labels at null, or name the same in another order; "
                "data.label_names renames them."
            )

    @property
    def columns_of_labels(self) -> tuple[str, ...] | None:
        """The labels that several columns stand for, in their order; None where labels are in one column."""
        if not isinstance(self.label, tuple):
            return None
        return tuple((self.label_names or {}).get(str(column), str(column)) for column in self.label)

    @property
    def _pair(self) -> str:
        return f"data.column={listed(self.column)}" if isinstance(self.column, tuple) else ""

    @property
    def _words(self) -> str | int:
        """The column of words, of which there is one."""
        assert not isinstance(self.column, tuple)
        return self.column

    @property
    def paired(self) -> bool:
        """Whether each document is a pair of texts."""
        return isinstance(self.column, tuple)

    def __str__(self) -> str:
        return self.source if isinstance(self.source, str) else ", ".join(self.source)

    def find(self) -> tuple[str, list[Path]]:
        """Returns the kind of source, see `Found`, and its files.

        Raises:
            UserError: the source does not exist.
        """
        return self._found.kind, [*self._found.files]

    def identity(self) -> list[Any]:
        """Returns what the documents depend on, without reading them: for files their sizes and times of change."""
        here = self._found
        # the split that names say: a link may have another name than the file itself
        said = {path: listing.split_of_file(path, root) for path, root in here.files.items()}
        if self.part is not None:  # what its name does not say depends on files of other parts
            said = {path: split for split, paths in self.part.by_split.items() for path in paths}
            said |= dict.fromkeys(path for path in here.files if path not in said)  # the card of a folder
        stamps = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns, split) for p, split in said.items()]
        where = self.source if here.kind == "hub" else stamps
        written = [self.encoding, self.delimiter, self.header, sorted((self.label_names or {}).items())]
        # without `labels`: they only refuse other labels, which is done again where documents are read from disk
        of_tags = None if self.tags is None else [self.tags, self.scheme, tag_schemes.of_labels(self.labels)]
        found = [here.kind, where, self.config, self.column, self.document, of_tags, self.label, written]
        return found if self.question is None else [*found, self.question, self.answers, self.article]

    def with_scheme(self, training: str) -> "Source":
        """Returns the source with the scheme of its tags, if it has any.

        Args:
            training: the split that the scheme is found in, or several joined by `+`.
        Raises:
            UserError: the source cannot be read.
        """
        kind, paths = self.find() if self.tags is not None else ("", [])
        if kind == "columns":
            columns.check_alike(paths, self._words, self.tags, self.encoding)
        if self.tags is None or self.scheme is not None:
            return self
        raw = replace(self, scheme="plain", labels=None)
        texts = (text for split in training.split("+") for text in raw.read(split))
        tags = (text.tags for text in texts if isinstance(text, Tagged) and text.tags is not None)
        return replace(self, scheme=find_scheme(tags, self.labels))

    def read(self, split: str, unlabelled: bool = False) -> Iterator[str | Labelled | Tagged | Asked]:
        """Yields the raw documents of one split of the source.

        Files have splits where names of files or folders say so, see `listing`; else the single split `train`.

        Args:
            unlabelled: whether the column of labels, tags or answers may be missing, as in published tests.
        Raises:
            UserError: the source cannot be read as what it seems to be.
        """
        here = self._found
        named = columns_of(self.column, self.label, self.tags)
        if self.question is not None:
            of_questions = {"data.question": self.question, "data.answers": self.answers}
            of_questions |= {"data.article": self.article, "data.id": "id"}
            named |= {key: column for key, column in of_questions.items() if column is not None}
        if here.kind in _OF_HUB:
            name = str(self.source if here.place is None else here.place)
            part = None if self.part is None else self.part.by_split.get(split, [])
            rows = hub.read(name, self.config, split, named, self._spelling, unlabelled, part)
            yield from rows if len(named) > 1 else files.documents(rows, self.document)  # type: ignore[arg-type]
            return
        if self.paired and (here.place is not None or here.kind in ("dump", "columns")):
            raise UserError(
                f"{self._pair}: pairs of texts are read from columns of .csv, .tsv, .jsonl, .json or .parquet, or "
                f"of data sets of the hub, but data.source='{self}' is none of these."
            )
        if isinstance(self.label, tuple) and here.place is not None:
            raise UserError(
                f"data.label={listed(self.label)} names columns, but data.source='{self}' is a folder whose "
                "folders are named by labels; a text in it has one. Set data.label=label."
            )
        if here.place is not None:
            spelling = Spelling() if self.label is None else self._spelling
            for text in labelled_folders.read(here.place, split, spelling, self.encoding):
                yield text.text if self.label is None else text
            return
        if self.tags is not None and here.kind != "columns" and not all(map(found.holds_lists, here.files)):
            raise UserError(
                f"data.tags={self.tags}: tagged words are read from data sets of the hub, in its layout, from "
                f".jsonl and .parquet with lists of words, or in columns ({', '.join(columns.ENDINGS)}), but "
                f"data.source='{self}' is none of these. Set data.tags=null."
            )
        if split not in self._by_split:
            raise UserError(listing.no_split(split, self._by_split, str(self)))
        form = Format(self.encoding, self.delimiter, self.header, unlabelled)
        for path in self._by_split[split]:
            try:
                yield from self._file(here, path, named, form)
            except PermissionError as error:
                raise unreadable(path, error) from error

    def _file(
        self, here: found.Found, path: Path, named: dict[str, Any], form: Format
    ) -> Iterator[str | Labelled | Tagged | Asked]:
        if here.kind == "dump":
            yield from wikimedia.read(path)
        elif here.kind == "columns":
            yield from columns.read(path, self._spelling, self._words, self.tags, self.encoding)
        elif self.label == file_labels.LABEL and path.suffix.lower() not in (".csv", ".jsonl", ".parquet"):
            rows = file_labels.read(path, here.files[path], form)
            yield from texts_of(rows, named, {}, self._spelling)
        else:
            yield from files.read(path, named, self.document, self._spelling, form)

    def files_in_order(self, splits: Sequence[str]) -> list[tuple[str, Path]] | None:
        """Returns the files of these splits, each with its split, as `read` reads them one after another.

        Returns:
            None if the source is not read file by file, or has not all of the splits.
        Raises:
            UserError: the source does not exist.
        """
        here = self._found
        if here.kind == "folder":  # a document of several rows may begin in one file and end in the next
            by_file = self.document == "row" and sum(path.stat().st_size for path in here.files) >= _LARGE
        else:
            by_file = here.kind in ("files", "dump") and here.place is None
        if not by_file or any(split not in self._by_split for split in splits):
            return None
        return [(split, path) for split in splits for path in self._by_split[split]]

    def only(self, files: Collection[Path]) -> "Source":
        """Returns the source without its other files. It still has all splits, some of them without a file."""
        here = self._found
        has_card = here.kind == "folder"  # which says how all files are read
        own = {
            path: root
            for path, root in here.files.items()
            if path in files or (has_card and listing.is_about(path))
        }
        by_split = {split: [path for path in paths if path in files] for split, paths in self._by_split.items()}
        return replace(self, part=Part(here._replace(files=own, unread=()), by_split))

    def splits(self) -> set[str]:
        """Returns the splits that `read` accepts; an empty set if the hub does not name them.

        Raises:
            UserError: the source does not exist, or is damaged.
        """
        here = self._found
        if here.kind in _OF_HUB:
            return hub.splits(str(self.source if here.place is None else here.place), self.config)
        return {split for split in self._names if split is not None}

    def files_of(self, split: str) -> set[Path]:
        """Returns the files that hold a split, or several joined by `+`; none where files do not say their splits.

        Raises:
            UserError: the source does not exist.
        """
        by_split = self._by_split if self._found.place is None else {}
        return {path.resolve() for name in split.split("+") for path in by_split.get(name, ())}

    def left_out(self) -> dict[str, list[str]]:
        """Returns the names of files that no split has: those that say none, and those that cannot be read here
        (`unread`), as they are of no known kind or in a place where a text has no label.

        Raises:
            UserError: the source does not exist, or is damaged.
        """
        names = {} if self._found.kind in _OF_HUB else self._names
        return {listing.OTHER: names.get(listing.OTHER, []), "unread": names.get(None, [])}

    @cached_property
    def _found(self) -> found.Found:
        if self.part is not None:
            return self.part.found
        return found.find(self.source, self.tags is not None, self.config, self.encoding)

    @cached_property
    def _by_split(self) -> dict[str, list[Path]]:
        """The files of each split."""
        if self.part is not None:
            return self.part.by_split
        if self._found.kind == "folder":
            return self._by_split_of_folder(self._found)
        return listing.by_split(
            {
                # a file that was named itself, and says no split, is one to train on
                path: listing.split_of_file(path, root) or ("train" if root is None else None)
                for path, root in self._found.files.items()
            }
        )

    def _by_split_of_folder(self, here: found.Found) -> dict[str, list[Path]]:
        """Returns the files of each split of a folder in the hub's layout; nothing if one is elsewhere."""
        assert here.place is not None
        names = {path.resolve(): path for path in here.files}
        by_split = hub.files_by_split(here.place, self.config)
        if any(path not in names for paths in by_split.values() for path in paths):
            return {}
        return {split: [names[path] for path in paths] for split, paths in by_split.items()}

    @cached_property
    def _names(self) -> dict[str | None, list[str]]:
        """The names of the files of each split, and of None those that are not read."""
        here = self._found
        names: dict[str | None, list[str]]
        if here.place is not None:
            names = labelled_folders.listed(here.place)
        else:
            names = {split: [path.name for path in paths] for split, paths in self._by_split.items()}
        return {**names, None: [*names.get(None, []), *(path.name for path in here.unread)]}

    @property
    def _spelling(self) -> Spelling:
        return Spelling(self.labels, self.label_names, self.scheme)
