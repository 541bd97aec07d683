"""Prepares a corpus once, in folders of a cache: tokenizer, tokens, annotations.

Each folder is named by a fingerprint of everything that its contents depend on, and reused if it exists.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

from maskwright.annotations.annotation import Annotation, identity
from maskwright.annotations.storage import write_annotation
from maskwright.core.atomic import fingerprint, is_whole, write_once
from maskwright.core.engines import Advance, Engine
from maskwright.core.parallel import Workers
from maskwright.core.terminal import bar, console
from maskwright.corpora.documents import open_marked, open_table, open_texts, shard_folders, shards
from maskwright.corpora.splits import SPLITS
from maskwright.text.tokenizer import Pretrained, Trained
from maskwright.text.tokenizer.wrapper import cut
from maskwright.text.tokens import Tokens, join_tokens, write_tokens

IdType = Literal["auto", "uint16", "uint32"]

_FORMAT = 2  # increment when the same settings no longer give the same tokens


def prepare_tokenizer(
    cache: Path, choice: Trained | Pretrained, documents: Path, extending: int | None = None
) -> Path:
    """Returns the folder of a tokenizer, trained on the training split of the documents or fetched.

    Args:
        extending: how many documents of the training split, the first ones, words are taken of that are added to a
            tokenizer; None takes all.
    """
    chosen = {name: value for name, value in asdict(choice).items() if (name, value) != ("extend", 0)}
    settings: list[Any] = [_FORMAT, chosen]
    settings.append(documents.name if isinstance(choice, Trained) else choice.digest())
    if "extend" in chosen:
        settings.append([documents.name, extending])

    def write(folder: Path) -> None:
        texts, runs = open_texts(documents)["train"], shards(documents)["train"]
        if "extend" in chosen and extending is not None:
            runs = [(first, min(last, extending)) for first, last in runs if first < extending]
        with bar(f"Tokenizer: {choice}", choice.passes * runs[-1][1]) as progress:
            choice.make(lambda: _batches(texts, runs, progress.advance)).save(folder)
        if isinstance(choice, Trained) and len(shard_folders(documents)) > 1:
            console().print(
                "note: the tokenizer is trained on this corpus; a new shard would change it, and then all are "
                "tokenized anew. tokenizer=pretrained tokenizer.name=<folder of a run>/tokenizer keeps it."
            )

    return write_once(cache / f"tokenizer-{fingerprint(settings)}", write)


def _batches(
    texts: Callable[[int, int], list[str]], runs: list[tuple[int, int]], advance: Callable[[int], None]
) -> Iterator[list[str]]:
    for first, last in runs:
        yield [part for text in texts(first, last) for part in cut(text)]  # a long one takes much memory
        advance(last - first)


def prepare_tokens(cache: Path, documents: Path, tokenizer: Path, engine: Engine, id_type: IdType) -> Path:
    """Returns the folder of the tokens of the documents, with a folder for `Tokens.open` for each split.

    Tokens of several shards are in a folder for each, and the one that is returned joins them.
    """
    # what the tokenizer is, not how it was made: training it again may result in another one
    made_by = (tokenizer / "tokenizer.json").read_text()
    shards = {
        cache / f"tokens-{fingerprint([_FORMAT, shard.name, made_by, id_type])}": shard
        for shard in shard_folders(documents)
    }
    missing = {folder: shard for folder, shard in shards.items() if not is_whole(folder)}
    writes = {
        folder: partial(_tokenize, documents=shard, tokenizer=tokenizer, id_type=id_type)
        for folder, shard in missing.items()
    }
    engine.fill(writes, "Tokenizing documents", sum(map(_count, missing.values())))
    folders = list(shards)
    if len(folders) == 1:
        return folders[0]
    index = cache / f"tokens-{fingerprint([folder.name for folder in folders])}"
    return write_once(index, lambda folder: join_tokens(folder, folders, SPLITS))


def _count(documents: Path) -> int:
    return sum(open_table(documents, split).num_rows for split in SPLITS)


def _tokenize(
    folder: Path, workers: Workers, advance: Advance, documents: Path, tokenizer: Path, id_type: IdType
) -> None:
    write_tokens(folder, partial(open_texts, documents), shards(documents), tokenizer, workers, advance, id_type)


def prepare_annotation(
    cache: Path, annotation: Annotation, documents: Path, tokens: Path, tokenizer: Path, workers: Workers
) -> Path:
    """Returns the folder of an annotation of the tokens, for `read_annotation`."""
    settings = [identity(annotation), tokens.name, annotation.settings()]

    def write(folder: Path) -> None:
        number = sum(Tokens.open(tokens / split).documents for split in SPLITS)
        with bar(f"Annotating tokens: {annotation.name}", number) as progress:
            opening = partial(open_marked, documents)
            write_annotation(folder, annotation, tokens, SPLITS, tokenizer, opening, workers, progress.advance)

    return write_once(cache / f"{annotation.name}-{fingerprint(settings)}", write)
