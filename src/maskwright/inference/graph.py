"""Folders that `src/export.py format=onnx` wrote, as what they answer. No torch is needed.

Shapes: B rows, T positions, K of them, C outputs, V vocabulary.
"""

import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import UserError
from maskwright.core.hub import first_line
from maskwright.corpora.inputs import Input
from maskwright.data.batching import cut_by_budget
from maskwright.data.predicted import per_text, row_of_class, row_of_labels, row_of_words
from maskwright.data.rows import Rows
from maskwright.data.unlabelled import rows_of_inputs
from maskwright.inference.asked import AskedModel, Query
from maskwright.inference.sequence import Sequences
from maskwright.text.tokenizer import Tokenizer

MODEL, DESCRIPTION = "model.onnx", "model.json"


class Graph:
    """A graph with its tokenizer and its description.

    Raises:
        UserError: the folder is no such export, or ONNX Runtime is not installed.
    Attributes:
        description: see `export.description`.
    """

    def __init__(self, folder: Path):
        if not is_graph(folder):
            raise UserError(f"{folder} is no export of format=onnx: it has no {MODEL} and {DESCRIPTION}.")
        self.description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text())
        self.tokenizer = Tokenizer.load(folder)
        self.session = open_session(folder / MODEL)

    def __call__(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the outputs for int64 inputs: (B, C), or (B, K, C) where there are positions."""
        return self.session.run(None, {name: inputs[name].astype(np.int64) for name in self.description["inputs"]})[
            0
        ]


def is_graph(folder: Path) -> bool:
    return (folder / MODEL).is_file() and (folder / DESCRIPTION).is_file()


def open_session(path: Path) -> Any:
    """Returns a session of ONNX Runtime on the CPU, with as many threads as OMP_NUM_THREADS says, or all cores.

    Raises:
        UserError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UserError('ONNX Runtime is not installed: pip install "maskwright[onnx]"') from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of any kind: of a file that is cut off, of a newer format
        raise UserError(f"{path} cannot be opened by ONNX Runtime: {first_line(error)}") from error


class GraphMaskedModel(AskedModel):
    """A masked language model that ONNX Runtime computes."""

    def __init__(self, graph: Graph, tokens_per_batch: int):
        self.graph, self.tokenizer, self.tokens_per_batch = graph, graph.tokenizer, tokens_per_batch
        self.max_length = graph.description.get("max_length")

    def best(self, queries: Sequence[Query], ids: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """See `AskedModel`."""
        found = np.zeros((sum(len(query.asked) for query in queries), min(number, len(ids))), np.int64)
        values = np.zeros(found.shape, np.float32)
        for batch in self.batches(queries):
            own = self._log_probabilities(batch)[:, ids]
            best = np.argsort(-own, axis=1, kind="stable")[:, : found.shape[1]]
            found[batch.numbers], values[batch.numbers] = ids[best], np.take_along_axis(own, best, 1)
        return found, values

    def log_probabilities(self, queries: Sequence[Query], ids: np.ndarray) -> np.ndarray:
        """See `AskedModel`."""
        values = np.zeros(len(ids), np.float32)
        for batch in self.batches(queries):
            own = self._log_probabilities(batch)
            values[batch.numbers] = own[np.arange(len(own)), ids[batch.numbers]]
        return values

    def _log_probabilities(self, batch: Any) -> np.ndarray:
        """Returns (N, V)."""
        given = {"input_ids": batch.ids, "attention_mask": batch.seen, "positions": batch.positions}
        logits = self.graph(given)[batch.valid]
        logits -= logits.max(1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(1, keepdims=True))


class GraphPredictor:
    """Maps texts to rows of predictions, as `run.predictor.Predictor` does."""

    def __init__(self, graph: Graph, tokens_per_batch: int):
        self.graph, self.tokenizer, self.tokens_per_batch = graph, graph.tokenizer, tokens_per_batch
        self.kind = graph.description["kind"]
        self.names: list[str] = graph.description.get("labels", [])

    def __call__(self, texts: Sequence[Input]) -> list[dict[str, Any]]:
        """Returns a row for each text, in order."""
        chosen = [text for text in texts if text.clean]
        found = iter(self._shown(chosen) if chosen else [])
        return [next(found) if text.clean else self._without(text) for text in texts]

    def _shown(self, texts: Sequence[Input]) -> list[dict[str, Any]]:
        rows = rows_of_inputs(texts, self.kind, self.tokenizer, self.graph.description["reading"])
        return self._of_words(texts, rows) if self.kind == "tags" else self._of_texts(texts, rows)

    def _without(self, text: Input) -> dict[str, Any]:
        """Returns the row of a text of which cleaning left nothing."""
        if self.kind != "tags":
            return {"text": text.text, "predicted": None}
        spans = text.words or []
        return row_of_words(text.text, spans, [self._absent] * len(spans), [1.0] * len(spans), self._entities)

    def _of_texts(self, texts: Sequence[Input], rows: Rows) -> list[dict[str, Any]]:
        seen = [
            (batch["texts"], _SHARES[self.kind](outputs), batch["targets"])
            for batch, outputs in self._outputs(rows)
        ]
        means = per_text(*map(np.concatenate, zip(*seen, strict=True)))["outputs"]
        if self.kind == "value":
            return [{"text": t.text, "predicted": float(value)} for t, (value,) in zip(texts, means, strict=True)]
        row_of = row_of_class if self.kind == "class" else row_of_labels
        return [{"text": t.text, **row_of(self.names, own)} for t, own in zip(texts, means, strict=True)]

    def _of_words(self, texts: Sequence[Input], rows: Rows) -> list[dict[str, Any]]:
        tags = [[self._absent] * len(text.words or []) for text in texts]
        shares = [[1.0] * len(text.words or []) for text in texts]
        for batch, scores in self._outputs(rows):
            for number, (text, valid) in enumerate(zip(batch["texts"], batch["valid"], strict=True)):
                if not valid.any():
                    continue
                own, opens = scores[number][valid], bool(batch["opens"][number])
                best, of_tags = self._decided(own, opens)
                for place, tag, row in zip(batch["places"][number][valid], best, of_tags, strict=True):
                    tags[text][place], shares[text][place] = self.names[tag], round(float(row[tag]), 6)
        return [
            row_of_words(text.text, text.words or [], own, of, self._entities)
            for text, own, of in zip(texts, tags, shares, strict=True)
        ]

    def _decided(self, scores: np.ndarray, opens: bool) -> tuple[np.ndarray, np.ndarray]:
        """Returns the tags (K,) of words, and the probabilities (K, C) of all tags."""
        if self._crf is None:
            return scores.argmax(-1), _softmax(scores)
        return self._crf.best(scores, opens), self._crf.marginals(scores, opens)

    @cached_property
    def _crf(self) -> Sequences | None:
        found = self.graph.description.get("crf")
        return None if found is None else Sequences(**{name: np.array(value) for name, value in found.items()})

    @property
    def _absent(self) -> str:
        """The tag of a word without tokens."""
        return self.graph.description["absent"]

    @property
    def _entities(self) -> bool:
        return self.graph.description["entities"]

    def _outputs(self, rows: Rows) -> Any:
        """Yields batches of rows, longest first, with their outputs."""
        order = np.argsort(-rows.lengths, kind="stable")
        for chosen in cut_by_budget(order, rows.lengths, self.tokens_per_batch):
            batch = rows.read(chosen, np.zeros_like(chosen))
            batch.setdefault("attention_mask", np.ones_like(batch["input_ids"]))
            yield batch, self.graph(batch)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -logits))


_SHARES: dict[str, Any] = {"class": _softmax, "labels": _sigmoid, "value": lambda values: values}
