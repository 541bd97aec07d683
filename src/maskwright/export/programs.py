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

_LABELS = (
    _TEXTS
    + """print([[about["labels"][i] for i in (row >= 0).nonzero()[0]] for row in outputs])
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
"""

_TAGS_ONNX = """\
inputs = {{"input_ids": [row.ids], "attention_mask": [row.attention_mask], "positions": [first]{cases}}}
[logits] = session.run(None, {{name: np.array(value) for name, value in inputs.items()}})
"""

_TAGS_LITERT = """\
inputs = {{"input_ids": row.ids, "attention_mask": row.attention_mask, "positions": first{cases}}}
logits = run(**inputs)[:, : len(words)]
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

_OPEN_LITERT = """
import json{imports}

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from tokenizers import Tokenizer

about = json.load(open("model.json"))
tokenizer = Tokenizer.from_file("tokenizer.json")
model = Interpreter("model.tflite")
lengths = sorted(int(name.removeprefix("length_")) for name in model.get_signature_list())


def run(**inputs):  # of one text, padded with zeros to the shortest signature that it fits in
    length = next(length for length in lengths if length >= len(inputs["input_ids"]))
    signature = model.get_signature_runner(f"length_{{length}}")
    padded = {{}}
    for name, details in signature.get_input_details().items():
        padded[name] = np.zeros(details["shape"], np.int32)
        padded[name][0, : len(inputs[name])] = inputs[name]
    [outputs] = signature(**padded).values()
    return outputs

"""

_TEXTS_LITERT = """
rows = [tokenizer.encode(text) for text in ["A quiet, clever film.", "Two hours that I want back."]]
outputs = [run(input_ids=row.ids, attention_mask=row.attention_mask)[0] for row in rows]
"""

_LITERT = {
    "tokens": """
row = tokenizer.encode(f"Paris is the {about['special']['mask']['token']} of France.")
positions = [i for i, number in enumerate(row.ids) if number == about["special"]["mask"]["id"]]
logits = run(input_ids=row.ids, attention_mask=row.attention_mask, positions=positions)
print([tokenizer.id_to_token(number) for number in logits[0, 0].argsort()[::-1][:5]])
""",
    "class": _TEXTS_LITERT
    + """print([about["labels"][row.argmax()] for row in outputs])
""",
    "labels": _TEXTS_LITERT
    + """print([[about["labels"][i] for i in (row >= 0).nonzero()[0]] for row in outputs])
""",
    "value": _TEXTS_LITERT
    + """print([float(row[0]) for row in outputs])
""",
}


def with_onnx(own: Exportable) -> str:
    """Returns a program that runs `model.onnx` with ONNX Runtime, NumPy and `tokenizers` alone."""
    opened = _OPEN.format(imports=_imports(own))
    if own.kind == "tags":
        cases = ', "cases": [[case(word.group()) for word in words]]'
        return opened + _tags(own, _TAGS_ONNX, cases)
    return opened + {"tokens": _TOKENS, "class": _CLASSES, "labels": _LABELS, "value": _VALUES}[own.kind]


def with_litert(own: Exportable) -> str:
    """Returns a program that runs `model.tflite` with LiteRT, NumPy and `tokenizers` alone."""
    opened = _OPEN_LITERT.format(imports=_imports(own))
    if own.kind == "tags":
        return opened + _tags(own, _TAGS_LITERT, ', "cases": [case(word.group()) for word in words]')
    return opened + _LITERT[own.kind]


def _imports(own: Exportable) -> str:
    return "\nimport re" if own.kind == "tags" else ""


def _tags(own: Exportable, called: str, cases: str) -> str:
    """Returns what finds the words of a text, scores their tags as `called` does, and chooses them."""
    with_case = "cases" in own.inputs
    found = (_CASE if with_case else "") + _TAGS + called.format(cases=cases if with_case else "")
    return found + (_BEST if own.crf is None else _SEQUENCE) + _SHOW
