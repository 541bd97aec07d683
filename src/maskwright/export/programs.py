"""Programs that open an export, as its README.md shows them. They run in its folder."""

from maskwright.export.graph import Exportable

_OPEN = """
import json{imports}

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

about = json.load(open("model.json"))
tokenizer = Tokenizer.from_file("tokenizer.json")
session = onnxruntime.InferenceSession("model.onnx")
"""

_TOKENS = """
row = tokenizer.encode(f"Paris is the {about['special']['mask']['token']} of France.")
ids = np.array([row.ids])
positions = np.argwhere(ids[0] == about["special"]["mask"]["id"]).T
inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "positions": positions}
[logits] = session.run(None, inputs)
print([tokenizer.id_to_token(number) for number in logits[0, 0].argsort()[::-1][:5]])
"""

_TEXTS = """
rows = tokenizer.encode_batch(["A quiet, clever film.", "Two hours that I want back."])
ids = np.array([row.ids for row in rows])
seen = np.array([row.attention_mask for row in rows])
[outputs] = session.run(None, {"input_ids": ids, "attention_mask": seen})
"""

_CLASSES = (
    _TEXTS
    + """print([about["labels"][row.argmax()] for row in outputs])
"""
)

_VALUES = (
    _TEXTS
    + """print(outputs[:, 0].tolist())
"""
)

_CASE = """

def case(word):
    letters = [letter for letter in word if letter.isalpha()]
    if not any(letter.isupper() for letter in letters):
        return 1 if letters else 0
    if len(letters) > 1 and all(letter.isupper() for letter in letters):
        return 3
    return 2 if letters[0].isupper() else 4

"""

_TAGS = """
text = "Ada went to London."
row = tokenizer.encode(text)
read = max(end for _, end in row.offsets)
words = [word for word in re.finditer(about["words"], text) if word.start() < read]
first = [next(i for i, (_, end) in enumerate(row.offsets) if end > word.start()) for word in words]
inputs = {{"input_ids": [row.ids], "attention_mask": [row.attention_mask], "positions": [first]{cases}}}
[logits] = session.run(None, {{name: np.array(value) for name, value in inputs.items()}})
"""

_BEST = """tags = logits[0].argmax(-1)
"""

_SEQUENCE = """crf = {name: np.array(value) for name, value in about["crf"].items()}
best, back = crf["begin"] + logits[0, 0], []
for scores in logits[0, 1:]:
    paths = best[:, None] + crf["transition"]
    back.append(paths.argmax(0))
    best = paths.max(0) + scores
tags = [(best + crf["end"]).argmax()]
for origin in reversed(back):
    tags.append(origin[tags[-1]])
tags.reverse()
"""

_SHOW = """print([(word.group(), about["labels"][tag]) for word, tag in zip(words, tags)])
"""


def with_onnx(own: Exportable) -> str:
    """Returns a program that runs `model.onnx` with ONNX Runtime, NumPy and `tokenizers` alone."""
    imports = "\nimport re" if own.kind == "tags" else ""
    return _OPEN.format(imports=imports) + _rest(own)


def _rest(own: Exportable) -> str:
    if own.kind == "tags":
        with_case = "cases" in own.inputs
        cases = ', "cases": [[case(word.group()) for word in words]]' if with_case else ""
        tags = _BEST if own.crf is None else _SEQUENCE
        return (_CASE if with_case else "") + _TAGS.format(cases=cases) + tags + _SHOW
    return {"tokens": _TOKENS, "class": _CLASSES, "value": _VALUES}[own.kind]
