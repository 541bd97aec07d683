"""Measures how fast a corpus is prepared, compared with the bare `tokenizers` batch encoder on the same text.

    python scripts/benchmarks/preparation.py --source ../shared/data/wikimedia/wikipedia

Prepares the corpus in an empty temporary folder (reading, cleaning, splitting, training the tokenizer, tokenizing),
then encodes the same cleaned documents with the same tokenizer by `tokenizers.Tokenizer.encode_batch` alone, on all
cores, without keeping the results. Prints seconds, rates, the ratio of the rates, and the peak resident memory
beyond that of the imports.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

# the processes that prepare a corpus import this file again; like src/train.py it must stay light
if TYPE_CHECKING:
    from maskwright.data.packed import TextData


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="what data.source takes")
    parser.add_argument("--limit", type=int, help="only this many documents")
    parser.add_argument("--vocabulary-size", type=int, default=8192)
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()

    from maskwright.core.parallel import cores
    from maskwright.data import packed  # noqa: F401  (belongs to the imports, whose memory is measured)

    imported = resident(os.getpid())
    with tempfile.TemporaryDirectory() as cache:
        data = corpus(arguments, cache)
        began = time.monotonic()
        with Memory() as memory:
            data.prepare_data()
        prepared = time.monotonic() - began
        data.setup()
        tokens = sum(split.count for split in data.tokens.values())
        began = time.monotonic()
        bare_tokens = encode_bare(data)
        bare = time.monotonic() - began
    assert bare_tokens == tokens
    figures = {
        "cores": cores(),
        "documents": sum(split.documents for split in data.tokens.values()),
        "tokens": tokens,
        "seconds": {**{k: round(v, 1) for k, v in data.seconds.items()}, "all": round(prepared, 1)},
        "tokens_per_second": {
            "tokenizing": round(tokens / data.seconds["tokens"]),
            "reading, cleaning and tokenizing": round(
                tokens / (data.seconds["documents"] + data.seconds["tokens"])
            ),
            "bare encode_batch": round(tokens / bare),
        },
        "ratio_tokenizing": round(bare / data.seconds["tokens"], 2),
        "ratio_with_reading_and_cleaning": round(bare / (data.seconds["documents"] + data.seconds["tokens"]), 2),
        "mebibytes": {
            "importing": round(imported),
            "peak beyond importing, all processes": round(memory.peak - imported),
        },
    }
    print(json.dumps(figures, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=2))


def corpus(arguments: argparse.Namespace, cache: str) -> "TextData":
    from maskwright.data.packed import TextData
    from maskwright.text.tokenizer import Trained

    return TextData(
        source=arguments.source,
        config=None,
        column="text",
        document="row",
        cleaning=["html_tags", "html_entities", "control_characters", "unicode_nfc", "whitespace"],
        splits={"train": "train", "validation": 0.05, "test": 0.05},
        limit=arguments.limit,
        tokenizer=Trained("wordpiece", arguments.vocabulary_size, lowercase=True),
        block_size=128,
        batch_size=32,
        evaluation_batch_size=64,
        evaluation_limit=None,
        id_type="auto",
        cache_dir=cache,
        seed=1,
    )


def encode_bare(data: "TextData") -> int:
    """Returns the number of tokens that `encode_batch` returns for all documents, 1,000 at a time."""
    count = 0
    for split in data.documents.values():
        for batch in split.iter(1000):
            encodings = data.tokenizer.backend.encode_batch(batch["text"], add_special_tokens=False)
            count += sum(map(len, encodings))
    return count


class Memory:
    """Measures the peak resident memory, in MiB, of this process and its children within a block.

    It is read from /proc every 50 ms. Pages that processes share count once for each process.
    """

    def __enter__(self) -> "Memory":
        self.peak, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.peak = max(self.peak, resident(os.getpid()))


def resident(pid: int) -> float:
    """Returns the resident memory of a process and its descendants, in MiB; 0 for a process that has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20 + sum(map(resident, children))


if __name__ == "__main__":
    main()
