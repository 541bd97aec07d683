"""Explains which words decided what a finished run, or a model of the hub, predicts of texts."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from omegaconf import DictConfig, OmegaConf

from maskwright.annotations.annotation import Annotation, BaseAnnotation, needs_tags
from maskwright.core.errors import UserError
from maskwright.core.terminal import bar, console
from maskwright.corpora.cleaning import Cleaner
from maskwright.data.label_spec import LabelSpec
from maskwright.inference.explain import METHODS, Unsuited, explain
from maskwright.inference.explain.fills import Fills
from maskwright.inference.explain.labels import Labels
from maskwright.inference.explain.question import Cutter, Question
from maskwright.reports import explanations
from maskwright.reports.picture import WRITERS, write
from maskwright.reports.prediction_file import check_ending
from maskwright.run.ask import Texts, deliver, masked_model, open_saved, refuse_pairs, texts_of
from maskwright.run.assemble import task_spec
from maskwright.run.output import STDOUT, Row, Rows
from maskwright.run.predict_inputs import cleaning_of
from maskwright.run.predictor import one_device
from maskwright.run.saved import SavedRun
from maskwright.run.trainer import quiet
from maskwright.settings.build import build
from maskwright.settings.commands import ExplainSettings
from maskwright.tasks.labelled import LabelledTask

ALL = "all"
_UNLIMITED = 2**31  # positions of a row


def run_explain(cfg: DictConfig) -> int:
    """Explains what a composed `conf/explain.yaml` describes; returns the number of texts.

    Raises:
        UserError: there is no such model, it predicts nothing that can be explained or does not allow the method,
            or there are no such texts.
    """
    quiet()
    asked = ExplainSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    if asked.hardware.precision != "64-true":  # small differences of probabilities are lost in half precision
        asked = asked.replace(hardware=asked.hardware.replace(precision="32-true"))
    picture = _picture(asked)  # before the work
    units = _units(asked)
    texts = texts_of(asked)
    given = [asked.text] if isinstance(asked.text, str) else asked.text or []
    if any(not text.strip() for text in given):
        raise UserError("text is empty. Give a text to explain: text='A wonderful film.'")
    saved = open_saved(asked)
    explainer = Explainer(asked, saved, units)
    if texts.number is not None:  # they can be read twice
        for text in texts.read():
            explainer.check(text)
    if picture is not None:
        return _draw(explainer, texts, picture)
    settings: list[Any] = [asked.method, asked.target, asked.word, asked.words, asked.steps, asked.seed, asked.long]
    settings.append(asked.mask.units.to_node())
    rows = Rows(
        windows=([text] for text in texts.read()),  # one by one: each takes many forward passes
        make=explainer.rows,
        texts=lambda window: window,
        size=1,
        total=texts.number,
        doing="Explaining",
        known=explainer.means.add,
    )
    count = deliver(rows, asked, saved, show, [texts.identity, settings], "rows")
    if explainer.means.count > 1:
        console(sys.stderr if asked.output == STDOUT else None).print(explainer.means.table())
    return count


def show(rows: Sequence[Row], stream: TextIO) -> None:
    """Prints texts in colour."""
    shown = console(stream)
    for row in rows:
        shown.print(explanations.of_row(row))


def _picture(asked: ExplainSettings) -> Path | None:
    """Returns the file of a picture; None if rows are asked for.

    Raises:
        UserError: its ending is unknown, or it exists.
    """
    if asked.output in (None, STDOUT):
        return None
    path = Path(asked.output).expanduser()
    check_ending(path, WRITERS)
    if path.suffix not in WRITERS:
        return None
    if path.exists() and not asked.overwrite:
        raise UserError(f"output={path} exists. Name another file, or set overwrite=true.")
    return path


def _draw(explainer: "Explainer", texts: Texts, path: Path) -> int:
    """Writes a picture of all texts."""
    rows = []
    with bar("Explaining", texts.number) as progress:
        for text in texts.read():
            rows += explainer.rows([text])
            progress.advance()
    write(explanations.Page(rows, explainer.asked.width), path)
    console().print(f"{len(rows):,} texts are in {path}")
    return len(rows)


def _units(asked: ExplainSettings) -> Any:
    """Returns the units of the config.

    Raises:
        UserError: a corpus would have to be read for them.
    """
    units = build(asked.mask.units, "mask.units")
    if isinstance(units, Annotation):
        learns = getattr(type(units), "learn", None) is not BaseAnnotation.learn
        if learns or needs_tags(units):
            what = "learned from a corpus" if learns else "the tags of a corpus"
            raise UserError(
                f"mask.units={type(units).__name__} are {what}, which is not read here. Choose others: "
                "mask/units=words, tokens, spans, ngrams or entities."
            )
    if not getattr(units, "masks", True):
        raise UserError(
            "mask/units=none hides nothing, so nothing can be explained by it. Choose mask/units=words."
        )
    return units


class Explainer:
    """Makes rows of texts.

    Attributes:
        means: of the scores so far.
    Raises:
        UserError: the run predicts nothing that can be explained.
    """

    def __init__(self, asked: ExplainSettings, saved: SavedRun, units: Any):
        self.asked = asked
        self.methods = [*METHODS] if asked.method == ALL else [asked.method]
        self.means = explanations.Means()
        cut = Cutter(units, saved.tokenizer, asked.seed)
        self._predicted = _predicted(asked, saved, cut)
        self._how = asked.target, asked.word, asked.long == "windows"
        self._left_out: set[str] = set()  # methods

    def check(self, text: str) -> None:
        """Raises the UserError of a text that cannot be explained, without asking the model."""
        self._predicted.check(text, *self._how)

    def rows(self, texts: Sequence[str]) -> list[Row]:
        return [self._row(text) for text in texts]

    def _row(self, text: str) -> Row:
        read, questions = self._predicted.questions(text, *self._how)
        row = {
            "text": text,
            "read": read,
            "explanations": [self._explain(read, own) for own in questions if own.spans],
        }
        self.means.add(row)
        return row

    def _explain(self, text: str, question: Question) -> Row:
        prediction = question.prediction
        try:
            found = explain(prediction, self.methods, self.asked.steps, self.asked.seed)
        except Unsuited as error:
            raise UserError(
                f"method={self.asked.method} does not suit run='{self.asked.run}': {error}. Choose method=all, "
                "which leaves out what does not."
            ) from None
        for name in found.left_out.keys() - self._left_out:
            console().print(f"note: {name} is left out: {found.left_out[name]}")
        self._left_out |= found.left_out.keys()
        return {
            "target": question.target,
            "of": question.of,
            "score": prediction.whole,
            "without": prediction.empty,
            "units": [text[start:end] for start, end in question.spans],
            "spans": [list(span) for span in question.spans],
            "values": {name: [round(float(own), 6) for own in values] for name, values in found.values.items()},
            "faithfulness": {
                name: {score: round(value, 6) for score, value in own._asdict().items()}
                for name, own in found.faithfulness.items()
            },
        }


def _predicted(asked: ExplainSettings, saved: SavedRun, cut: Cutter) -> Fills | Labels:
    """Returns what finds the predictions of a text, on the device of the command."""
    if (classifier := saved.classifier) is not None:
        one_device(asked.hardware).setup_module(classifier)  # in place
        _freeze(classifier)
        labels = LabelSpec("class" if classifier.names else "value", classifier.names)
        data = {"block_size": classifier.max_length or _UNLIMITED}
        return Labels(classifier, labels, saved.tokenizer, data, str, None, cut, asked.tokens_per_batch)
    if saved.place is not None or not task_spec(saved.settings.task).predicts_texts:
        model = masked_model(asked, saved)
        _freeze(model.encoder, model.head)
        return Fills(model, cut)
    refuse_pairs(saved, "explanations are made of single texts alone. src/predict.py predicts for pairs")
    task: Any = saved.task
    assert saved.labels is not None
    if type(task).outputs is LabelledTask.outputs or type(task).read_from is LabelledTask.read_from:
        name = type(task).__name__
        raise UserError(
            f"run='{asked.run}' was trained with {name}, which does not define `outputs` and `read_from` of "
            "LabelledTask, so its predictions cannot be explained."
        )
    one_device(asked.hardware).setup_module(task)  # in place
    _freeze(task)
    rule = asked.words if saved.labels.kind == "tags" else None
    return Labels(
        task,
        saved.labels,
        saved.tokenizer,
        saved.settings.data.arguments,
        Cleaner(cleaning_of(saved.config["data"])),
        rule,
        cut,
        asked.tokens_per_batch,
    )


def _freeze(*modules: Any) -> None:
    """Gradients are those of embeddings alone."""
    for module in modules:
        module.requires_grad_(False)
