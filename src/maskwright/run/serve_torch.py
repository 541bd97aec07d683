"""The skills of a run, or of a model of the hub, that a server asks PyTorch for."""

from pathlib import Path
from typing import Any

from maskwright.annotations.annotation import Annotation
from maskwright.core.errors import UserError
from maskwright.corpora.cleaning import Cleaner
from maskwright.data.encode import encode
from maskwright.inference.explain import occlusion
from maskwright.inference.explain.fills import Fills
from maskwright.inference.explain.labels import Labels
from maskwright.inference.explain.question import Cutter, Question
from maskwright.inference.masked_model import MaskedModel
from maskwright.masking import Constant, Masker
from maskwright.reports.masks import segments
from maskwright.run.ask import masked_model, refuse_pairs
from maskwright.run.assemble import task_spec, vocabulary_of
from maskwright.run.predict_inputs import cleaning_of
from maskwright.run.predictor import Predictor
from maskwright.run.saved import SavedRun
from maskwright.run.skills import of_labels, of_masks, rule_of
from maskwright.run.trainer import quiet
from maskwright.serve.engine import Engine, Row, Skill
from maskwright.settings.build import build
from maskwright.settings.commands import ServeSettings
from maskwright.settings.component import Component

_WORDS = "maskwright.masking.Words"


def engine_of(asked: ServeSettings, saved: SavedRun) -> Engine:
    """Returns the engine."""
    quiet()
    model = TorchModel(asked, saved)
    return Engine("torch", asked.run, model.skills(), model.about())


class TorchModel:
    """The skills of a run or a model of the hub, computed by PyTorch."""

    def __init__(self, asked: ServeSettings, saved: SavedRun):
        self.asked, self.saved, self.tokenizer = asked, saved, saved.tokenizer
        refuse_pairs(saved, "a server answers about single texts alone. src/predict.py predicts for pairs")
        self.labelled = saved.place is None and task_spec(saved.settings.task).predicts_texts
        self.masked: MaskedModel | None = None
        if not self.labelled or saved.head is not None:
            self.masked = masked_model(asked, saved)  # type: ignore[arg-type]
        self.predictor: Predictor | None = None
        if self.labelled:
            self.predictor = Predictor(saved, asked.hardware, asked.tokens_per_batch)
            self.clean = Cleaner(cleaning_of(saved.config["data"]))
        modules: list[Any] = [saved.encoder, saved.head, saved.task if saved.place is None else None]
        for module in filter(None, modules):
            module.requires_grad_(False)
        self.cut = Cutter(build(Component.from_node({"_target_": _WORDS}), "units"), self.tokenizer)
        self.strategies = _strategies(asked) if self.tokenizer.has_mask else {}
        self.vocabulary = vocabulary_of(self.tokenizer)
        self.questions: Any = self._questions() if self.tokenizer.has_mask else None

    def about(self) -> Row:
        labels = self.saved.labels if self.labelled else None
        return {
            "mask": self.tokenizer.special["mask"] if self.tokenizer.has_mask else None,
            "labels": [] if labels is None else list(labels.names),
            "strategies": [*self.strategies],
        }

    def skills(self) -> dict[str, Skill]:
        """Returns what the model can be asked, by the names of endpoints."""
        found = {} if self.masked is None else of_masks(self.masked)
        if self.predictor is not None:
            predict = self.predictor
            found |= of_labels(predict.kind, self.clean, lambda texts: predict([], texts, []))
        if self.strategies:
            found["mask"] = Skill(self._mask, self._check_mask)
        if self.tokenizer.has_mask:
            found["explain"] = Skill(self._explain)
        return found

    # Masks

    def _check_mask(self, text: str, strategy: str, **options: Any) -> None:
        if strategy not in self.strategies:
            raise UserError(f"strategy={strategy} does not exist. They are: {', '.join(self.strategies)}.")

    def _mask(self, texts: list[str], strategy: str, ratio: float, draw: int) -> list[Row]:
        parts = self.strategies[strategy] | {"ratio": Constant(ratio)}
        masker = Masker(**parts, vocabulary=self.vocabulary, seed=0)
        annotations = {part.name: part for part in parts.values() if isinstance(part, Annotation)}
        rows: list[Row] = []
        for text in texts:  # one by one: a mask depends on the number of a row
            batch, shard = encode([text], None, self.tokenizer, annotations, dict.fromkeys(annotations, Path()))
            batch["epochs"] = batch["epochs"].new_full((1,), draw)
            (cut,) = segments(masker, self.tokenizer, batch, shard)
            parts_of = [{"text": own.text, "kind": own.kind, "shown": own.shown} for own in cut]
            rows.append({"text": text, "segments": parts_of})
        return rows

    # Explanations

    def _questions(self) -> Any:
        if self.predictor is None:
            assert self.masked is not None
            return Fills(self.masked, self.cut).questions
        assert self.saved.labels is not None
        data = self.saved.settings.data.arguments
        task: Any = self.saved.task
        tokens = self.asked.tokens_per_batch
        return Labels(
            task,
            self.saved.labels,
            self.tokenizer,
            data,
            self.clean,
            rule_of(self.saved.labels.kind),
            self.cut,
            tokens,
        ).questions

    def _explain(self, texts: list[str], target: str | None) -> list[Row]:
        rows = []
        for text in texts:
            read, questions = self.questions(text, target, None, False)
            rows.append({"text": text, "read": read, "explanations": list(map(_explained, questions))})
        return rows


def _explained(question: Question) -> Row:
    prediction = question.prediction
    return {
        "target": question.target,
        "of": question.of,
        "score": prediction.whole,
        "spans": [list(span) for span in question.spans],
        "values": [round(float(value), 6) for value in occlusion(prediction)],
    }


def _strategies(asked: ServeSettings) -> dict[str, dict[str, Any]]:
    """Returns units, weights and corruption of each strategy that the page shows."""
    return {
        name: {
            part: build(node, f"strategies.{name}.{part}") for part, node in mask.parts.items() if part != "ratio"
        }
        for name, mask in asked.strategies.items()
    }
