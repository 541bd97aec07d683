"""What all commands share that ask a finished run, or a model of the hub, about texts."""

import hashlib
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import torch

from maskwright.core.atomic import fingerprint
from maskwright.core.errors import UserError, nearest
from maskwright.core.terminal import console
from maskwright.corpora.lines import decoded, lines_of
from maskwright.corpora.rows import listed
from maskwright.inference.masked_model import MaskedModel
from maskwright.run.output import STDOUT, Row, Rows, checked_output, lines, stdout_for_rows
from maskwright.run.predictor import one_device
from maskwright.run.saved import SavedRun
from maskwright.settings.commands import AskSettings, ModelSettings

STDIN = "-"
WINDOW = 256  # texts that are asked about, and written, together


class Texts(NamedTuple):
    """The texts that a command is asked about.

    Attributes:
        read: returns them, in order; empty ones too.
        number: how many there are; None for those of stdin.
        identity: what they depend on, in plain containers.
    """

    read: Callable[[], Iterator[str]]
    number: int | None
    identity: object


def open_saved(asked: ModelSettings) -> SavedRun:
    """Opens the run or the model of the hub that the command names.

    Raises:
        UserError: there is none, or it has no such checkpoint.
    """
    if asked.hardware.devices != 1:
        raise UserError(f"hardware.devices={asked.hardware.devices}, but this works on one device. Set it to 1.")
    return open_checkpoint(asked.run, asked.checkpoint)


def open_checkpoint(run: str, checkpoint: str) -> SavedRun:
    """Opens a run with one of its checkpoints, or what else `SavedRun.open` opens.

    Raises:
        UserError: there is none, or it has no such checkpoint.
    """
    if checkpoint not in (kinds := ("best", "last")):
        raise UserError(f"checkpoint={checkpoint} does not exist.{nearest(checkpoint, kinds)} It is best or last.")
    return SavedRun.open(run, "run", prefer=(checkpoint,))


def refuse_pairs(saved: SavedRun, what: str) -> None:
    """Checks that a run learned from single texts.

    Args:
        what: what is not done with pairs, and what to do instead, for the message.
    Raises:
        UserError: it learned from pairs.
    """
    if saved.pair_columns is not None:
        shown = listed(saved.pair_columns)
        raise UserError(f"{saved.key}='{saved.name}' learned from pairs of texts (data.column={shown}): {what}.")


def masked_model(asked: AskSettings, saved: SavedRun, untrained: bool = False) -> MaskedModel:
    """Returns the masked language model of a run, or of the hub, on the device that the command names.

    Args:
        untrained: whether its weights are those that a training would start from, drawn anew.
    Raises:
        UserError: it predicts no masked tokens.
    """
    encoder, head = saved.untrained() if untrained else (saved.token_encoder, saved.head)
    if head is None:
        why = "the model has no head for them" if saved.place else "it learned labels alone"
        raise UserError(
            f"run='{asked.run}' predicts no masked tokens: {why}. Name a run of task=mlm or task=multitask, or a "
            "model of the hub such as bert-base-uncased."
        )
    fabric = one_device(asked.hardware)
    modules: list[Any] = [encoder, head]
    for module in modules:
        fabric.setup_module(module)  # in place
    return MaskedModel(encoder, head, saved.tokenizer, saved.max_length, asked.tokens_per_batch, fabric.autocast)


def texts_of(asked: AskSettings) -> Texts:
    """Returns the texts that a command is asked about.

    Raises:
        UserError: it names none, or names them twice; also while they are read: a file does not exist, is empty, or
            is not in UTF-8.
    """
    if asked.text is not None and asked.file is not None:
        raise UserError("text and file are both given. Name the texts by one of them.")
    if asked.file is not None:
        path = Path(asked.file).expanduser()
        number = sum(1 for _ in lines_of(path, "file"))
        if not number:
            raise UserError(f"file={path} is empty. Name a file with a text in each line.")
        return Texts(lambda: lines_of(path, "file"), number, [str(path.resolve()), path.stat().st_size])
    if asked.text is None:
        raise UserError("There are no texts. Name them: text='A text', file=texts.txt, or - for stdin.")
    texts = given_texts(asked.text)
    if texts == [STDIN]:
        return Texts(stdin_lines, None, STDIN)
    return Texts(lambda: iter(texts), len(texts), texts)


def given_texts(text: Any) -> list[str]:
    """Returns the texts that the key `text` gives; `STDIN` alone stands for those of stdin.

    Raises:
        UserError: it gives none, or one that is not UTF-8.
    """
    texts = [text] if isinstance(text, str) else text
    if not isinstance(texts, list) or not texts or not all(isinstance(own, str) for own in texts):
        raise UserError(f'text={text!r} is no text. Give one, or a list: text=\'["One text","another"]\'')
    return list(map(checked_text, texts))


def checked_text(text: str) -> str:
    """Returns a text that can be encoded; Python passes on bytes that are not UTF-8 as characters of their own.

    Raises:
        UserError: it has such characters.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"The text {text[:60]!r} is not UTF-8 at its character {error.start}.") from None
    return text


def stdin_lines() -> Iterator[str]:
    """Yields the lines of stdin, in UTF-8 whatever the locale is.

    Raises:
        UserError: a line is not in UTF-8.
    """
    return decoded(sys.stdin.buffer if isinstance(sys.stdin, io.TextIOWrapper) else sys.stdin, "stdin")


def answer(
    asked: AskSettings,
    saved: SavedRun,
    texts: Texts,
    make: Callable[[list[str]], Sequence[Row]],
    show: Callable[[Sequence[Row], TextIO], None],
    doing: str,
    settings: object = None,
    known: Callable[[Row], None] = lambda row: None,
) -> int:
    """Makes a row of each text, and prints or writes it, as `output` says.

    Args:
        make: returns the rows of some texts, each with its `text`.
        show: prints rows for people to a stream.
        doing: what a progress bar says.
        settings: what else the rows depend on, in plain containers.
        known: see `Rows`.
    Returns:
        The number of rows.
    """
    rows = Rows(_windows(texts.read()), make, lambda window: window, WINDOW, texts.number, doing, known)
    return deliver(rows, asked, saved, show, [texts.identity, settings], "rows")


def deliver(
    rows: Rows[Any],
    asked: ModelSettings,
    saved: SavedRun,
    show: Callable[[Sequence[Row], TextIO], None],
    given: object,
    what: str,
) -> int:
    """Prints or writes rows, as `output` says.

    Args:
        show: prints rows for people to a stream.
        given: what the rows depend on beside the model, in plain containers.
        what: a plural for the rows.
    Returns:
        Their number.
    """
    output = checked_output(asked.output, asked.overwrite)
    with stdout_for_rows() as stdout:
        if output is None:
            return rows.print(lines if asked.output == STDOUT else show, stdout)
        identity = {"run": digest_of(saved), "input": fingerprint(given)}
        count = rows.write(output, identity, asked.overwrite)
        console().print(f"{count:,} {what} are in {output}")
        return count


def _windows(texts: Iterator[str]) -> Iterator[list[str]]:
    while some := list(islice(texts, WINDOW)):
        yield some


def digest_of(saved: SavedRun) -> str:
    """Returns a digest of the weights of a run or of a model of the hub."""
    if saved.checkpoint is not None:
        with saved.checkpoint.open("rb") as weights:
            return hashlib.file_digest(weights, "blake2b").hexdigest()[:16]
    found = hashlib.blake2b(digest_size=8)
    modules: list[Any] = [saved.encoder, saved.head] if saved.classifier is None else [saved.classifier]
    for module in filter(None, modules):
        for name, weight in sorted(module.state_dict().items()):
            found.update(name.encode())
            found.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
