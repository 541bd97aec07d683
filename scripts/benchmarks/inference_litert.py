"""Times LiteRT for `inference.py`, in the environment that `make litert` makes, without this package."""

import json
import sys
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from tokenizers import Tokenizer

folder, asked = Path(sys.argv[1]), json.load(sys.stdin)
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
model = Interpreter(str(folder / "model.tflite"), num_threads=asked["threads"])
lengths = sorted(int(name.removeprefix("length_")) for name in model.get_signature_list())
signatures = {length: model.get_signature_runner(f"length_{length}") for length in lengths}

seconds = []
for _ in range(asked["turns"] + 1):
    began = time.perf_counter()
    for row in tokenizer.encode_batch(asked["texts"]):
        count = sum(row.attention_mask)
        length = next(length for length in lengths if length >= count)
        ids, seen = np.zeros((1, length), np.int32), np.zeros((1, length), np.int32)
        ids[0, :count], seen[0, :count] = row.ids[:count], 1
        signatures[length](input_ids=ids, attention_mask=seen)
    seconds.append(time.perf_counter() - began)
print(json.dumps(seconds[1:]))
