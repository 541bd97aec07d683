"""Serves a finished run, or a model of the hub."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from maskwright.annotations.annotation import Annotation
from maskwright.core.errors import UserError
from maskwright.core.terminal import console
from maskwright.corpora.cleaning import Cleaner
from maskwright.corpora.inputs import WordRule, inputs
from maskwright.data.encode import encode
from maskwright.inference.explain import occlusion
from maskwright.inference.explain.fills import Fills
from maskwright.inference.explain.labels import Labels
from maskwright.inference.explain.question import Cutter, Question
from maskwright.inference.fill import fill, row_of
from maskwright.inference.masked_model import MaskedModel
from maskwright.inference.score import row_of as scored
from maskwright.inference.score import score
from maskwright.masking import Constant, Masker
from maskwright.reports.masks import segments
from maskwright.run.ask import masked_model, open_checkpoint
from maskwright.run.assemble import task_spec, vocabulary_of
from maskwright.run.output import Row
from maskwright.run.predict_inputs import cleaning_of
from maskwright.run.predictor import Predictor
from maskwright.run.saved import SavedRun
from maskwright.run.trainer import quiet
from maskwright.settings.build import build
from maskwright.settings.commands import ServeSettings
from maskwright.settings.component import Component
from maskwright.text.masked_text import MaskReader

_ENDPOINTS = {"class": "classify", "value": "predict", "tags": "tag"}  # by the kind of labels
_WORDS = "maskwright.masking.Words"


def run_serve(cfg: DictConfig) -> None:
    """Serves what a composed `conf/serve.yaml` describes, until SIGTERM or Ctrl-C.

    Raises:
        UserError: there is no such model, the key is empty, or the port is taken.
    """
    quiet()
    asked = ServeSettings.parse(OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    key = None if asked.api_key is None else os.environ.get(asked.api_key)
    if key is not None and not key.strip():
        raise UserError(f"The environment variable {asked.api_key} is empty. Give it the key, or unset it.")
    serve(asked, make_application(asked, key))


def make_application(asked: ServeSettings, key: str | None = None) -> Any:
    """Returns the web application of a model.

    Raises:
        UserError: there is no such model, or what serves it is not installed.
    """
    try:
        from maskwright.serve import Engine, Limits, make_app
    except ModuleNotFoundError as error:
        if error.name not in ("fastapi", "starlette"):
            raise
        raise UserError('src/serve.py needs fastapi and uvicorn: pip install "maskwright[serve]"') from None
    if asked.engine == "onnx":
        raise UserError("engine=onnx does not exist yet. Set it to torch or auto.")
    model = TorchModel(asked, open_checkpoint(asked.run, asked.checkpoint))
    engine = Engine("torch", asked.run, model.skills(), model.about())
    limits = Limits(asked.max_texts, asked.max_characters, asked.max_bytes, asked.max_batch, asked.max_waiting)
    return make_app(engine, limits, key)


def serve(asked: ServeSettings, app: Any) -> None:
    """Listens until a signal; what was begun then is finished.

    Raises:
        UserError: the address or the port cannot be had.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        host=asked.host,
        port=asked.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=asked.grace,
        limit_concurrency=None,
        server_header=False,
    )

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Ends in good order, and does not raise the signal once more afterwards."""
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    try:
        socket = config.bind_socket()
    except SystemExit:
        raise UserError(f"port={asked.port} of host={asked.host} cannot be listened at. Is it taken?") from None
    host, port = socket.getsockname()[:2]
    console().print(f"{asked.run} is served at http://{host}:{port} (Ctrl-C ends it)")
    Server(config).run(sockets=[socket])


class TorchModel:
    """The skills of a run or a model of the hub, computed by PyTorch."""

    def __init__(self, asked: ServeSettings, saved: SavedRun):
        self.asked, self.saved, self.tokenizer = asked, saved, saved.tokenizer
        self.labelled = saved.place is None and task_spec(saved.settings.task).predicts_texts
        self.masked: MaskedModel | None = None
        if not self.labelled or saved.head is not None:
            self.masked = masked_model(asked, saved)  # type: ignore[arg-type]
        self.predictor = Predictor(saved, asked.hardware, asked.tokens_per_batch) if self.labelled else None
        modules: list[Any] = [saved.encoder, saved.head, saved.task if saved.place is None else None]
        for module in filter(None, modules):
            module.requires_grad_(False)
        self.cut = Cutter(build(Component.from_node({"_target_": _WORDS}), "units"), self.tokenizer)
        self.strategies = _strategies(asked) if self.tokenizer.has_mask else {}
        self.vocabulary = vocabulary_of(self.tokenizer)

    def about(self) -> Row:
        labels = self.saved.labels if self.labelled else None
        return {
            "mask": self.tokenizer.special["mask"] if self.tokenizer.has_mask else None,
            "labels": [] if labels is None else list(labels.names),
            "strategies": [*self.strategies],
        }

    def skills(self) -> dict[str, Any]:
        """Returns what the model can be asked, by the names of endpoints."""
        from maskwright.serve import Skill

        found: dict[str, Skill] = {}
        if self.masked is not None:
            self.reader = MaskReader(self.masked)
            found |= {"fill": Skill(self._fill, self._check_fill), "score": Skill(self._score, self._check_length)}
        if self.predictor is not None:
            assert self.saved.labels is not None
            self.clean = Cleaner(cleaning_of(self.saved.config["data"]))
            self.rule: WordRule | None = "punctuation" if self.saved.labels.kind == "tags" else None
            found[_ENDPOINTS[self.saved.labels.kind]] = Skill(self._predict)
        if self.strategies:
            found["mask"] = Skill(self._mask, self._check_mask)
        if self.tokenizer.has_mask:
            self.questions = self._questions()
            found["explain"] = Skill(self._explain)
        return found

    # Masked tokens

    def _check_length(self, text: str, **options: Any) -> None:
        assert self.masked is not None
        self.masked.encode([text], "refuse")

    def _check_fill(self, text: str, hide: Sequence[str], **options: Any) -> None:
        self.reader.read([text], hide, "refuse")

    def _fill(self, texts: list[str], hide: Sequence[str], method: Any, top_k: int, beams: int) -> list[Row]:
        assert self.masked is not None
        read = self.reader.read(texts, hide, "refuse")
        found = fill(self.masked, read, method, top_k, beams)
        return [row_of(self.reader, text, fills, top_k) for text, fills in zip(read, found, strict=True)]

    def _score(self, texts: list[str], method: Any) -> list[Row]:
        assert self.masked is not None
        return [scored(found, self.tokenizer) for found in score(self.masked, texts, method, "refuse")]

    # Labels

    def _predict(self, texts: list[str]) -> list[Row]:
        assert self.predictor is not None
        # each text is a document of its own, and gets no context from the others
        return self.predictor([], list(inputs(texts, self.clean, self.rule)), [])

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
            task, self.saved.labels, self.tokenizer, data, self.clean, self.rule, self.cut, tokens
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
