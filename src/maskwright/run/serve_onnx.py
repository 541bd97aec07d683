"""An engine of ONNX Runtime, for folders that `src/export.py format=onnx` wrote. No torch is needed."""

from pathlib import Path

from maskwright.corpora.cleaning import Cleaner
from maskwright.inference.graph import Graph, GraphMaskedModel, GraphPredictor
from maskwright.run.skills import of_labels, of_masks
from maskwright.serve.engine import Engine
from maskwright.settings.commands import ServeSettings


def engine_of(asked: ServeSettings, folder: Path) -> Engine:
    """Returns the engine.

    Raises:
        UserError: the folder cannot be opened.
    """
    graph = Graph(folder)
    kind = graph.description["kind"]
    about = {"mask": None, "labels": graph.description.get("labels", []), "strategies": []}
    if kind == "tokens":
        skills = of_masks(GraphMaskedModel(graph, asked.tokens_per_batch))
        about["mask"] = graph.tokenizer.special["mask"]
    else:
        clean = Cleaner(graph.description["reading"]["cleaning"])
        skills = of_labels(kind, clean, GraphPredictor(graph, asked.tokens_per_batch))
    return Engine("onnx", asked.run, skills, about)
