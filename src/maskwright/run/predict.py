"""Makes predictions with a finished run for texts without labels, in their order and in constant memory."""

from collections.abc import Callable, Iterator, Sequence

from omegaconf import DictConfig, OmegaConf

from maskwright.core.atomic import fingerprint
from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.corpora.inputs import Input
from maskwright.data.unlabelled import margin_of, windows
from maskwright.run.ask import digest_of, open_checkpoint
from maskwright.run.assemble import task_spec
from maskwright.run.output import Rows, checked_output, lines, stdout_for_rows
from maskwright.run.predict_inputs import texts_of
from maskwright.run.predictor import Predictor
from maskwright.run.saved import SavedRun
from maskwright.run.trainer import quiet
from maskwright.settings.commands import PredictSettings

WINDOW = 1024  # texts whose rows are sorted by length together, and written together

Window = tuple[list[Input], list[Input], list[Input]]  # texts, with those before and after them


def predict(cfg: DictConfig, overrides: Sequence[str] = ()) -> int:
    """Makes the predictions that a composed `conf/predict.yaml` describes; returns their number.

    Args:
        overrides: the overrides of the command line, as typed.
    Raises:
        UserError: there is no such run, it predicts nothing of whole texts, or there are no such texts.
    """
    quiet()
    asked = PredictSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    output = checked_output(asked.output, asked.overwrite)
    if asked.hardware.devices != 1:
        raise UserError(
            f"hardware.devices={asked.hardware.devices}, but predictions are made on one device. Set it to 1."
        )
    saved = _open(asked)
    texts = texts_of(asked, saved, overrides)
    predictor = _Later(lambda: Predictor(saved, asked.hardware, asked.tokens_per_batch))
    empty = 0

    def read() -> Iterator[Window]:
        nonlocal empty
        assert saved.labels is not None
        margin = margin_of(saved.settings.data.arguments, saved.labels.kind)
        for window in windows(texts.read(), WINDOW, margin):
            yield window
            empty += sum(text.is_empty for text in window[1])

    rows = Rows(
        windows=read(),
        make=lambda window: predictor.get()(*window),
        texts=lambda window: [text.text for text in window[1]],
        size=WINDOW,
        total=texts.number,
        doing="Predicting",
    )
    with stdout_for_rows() as stdout:
        if output is None:
            count = rows.print(lines, stdout)
        else:
            identity = {"run": digest_of(saved), "input": fingerprint(texts.identity)}
            count = rows.write(output, identity, asked.overwrite)
        if empty:
            console().print(f"note: texts that are empty after cleaning, and have no prediction: {empty:,}")
        if output is not None:
            console().print(f"{count:,} predictions are in {output}")
    return count


def _open(asked: PredictSettings) -> SavedRun:
    saved = open_checkpoint(asked.run, asked.checkpoint)
    if saved.place is not None:
        raise UserError(
            f"run='{asked.run}' is no run with a checkpoint {asked.checkpoint}.ckpt, but a name or folder of "
            "the hub. Name the directory of a run of src/train.py."
        )
    if not task_spec(saved.settings.task).predicts_texts:
        name = saved.settings.task.target.rpartition(".")[2]
        raise UserError(
            f"run='{asked.run}' was trained with {name}, which predicts nothing of a whole text. Name a run of "
            "task=classification, tagging, regression, or multitask."
        )
    return saved


class _Later:
    """A predictor that is made when it is first needed."""

    def __init__(self, make: Callable[[], Predictor]):
        self.make = make
        self._made: Predictor | None = None

    def get(self) -> Predictor:
        self._made = self._made or self.make()
        return self._made
