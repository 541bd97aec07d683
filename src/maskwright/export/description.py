"""What reads the outputs of an exported graph: labels, special tokens, the sequence of tags."""

import json
from pathlib import Path
from typing import Any

from maskwright.corpora.inputs import PUNCTUATION
from maskwright.export.graph import Exportable
from maskwright.inference.graph import DESCRIPTION
from maskwright.models.layers.crf import LinearChainCRF


def describe(own: Exportable, folder: Path) -> None:
    """Writes `model.json`.

    It has the `kind` of what is predicted (tokens, class, labels, value or tags), the `inputs` of the graph, and
    the `special` tokens, each with its `token` and `id`. Where they apply, it has `labels`; `max_length`, of a row;
    `reading`, how texts were cleaned and cut into rows in training; and of taggers `words`, the regular expression
    that finds the words of a text, whether tags are of `entities`, `absent`, the tag of a word without tokens,
    and `crf`: scores of the tag at the beginning (C,) and at the end (C,) of a text, and of each tag after another
    (C, C).
    """
    tokenizer = own.tokenizer
    special = {
        name: {"token": token, "id": tokenizer.backend.token_to_id(token)}
        for name, token in tokenizer.special.items()
    }
    found: dict[str, Any] = {"kind": own.kind, "inputs": [*own.inputs], "special": special}
    if own.max_length is not None:
        found["max_length"] = own.max_length
    if own.labels is not None and own.labels.names:
        found["labels"] = [*own.labels.names]
    if own.kind == "tags":
        assert own.labels is not None
        found |= {"words": PUNCTUATION.pattern, "entities": own.labels.entities, "absent": own.labels.absent}
    if own.reading:
        found["reading"] = own.reading
    if own.crf is not None:
        found["crf"] = _crf(own.crf)
    (folder / DESCRIPTION).write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n")


def _crf(crf: LinearChainCRF) -> dict[str, Any]:
    begin, transition = crf.scores()
    return {"begin": begin.tolist(), "transition": transition.tolist(), "end": crf.end.tolist()}
