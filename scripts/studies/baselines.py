"""Measures a bag-of-words baseline on labelled texts: TF-IDF and logistic regression, on the splits of fine-tuning.

    python scripts/studies/baselines.py --source ../shared/data/stanfordnlp/imdb

Texts are cleaned and split as by `data=imdb`. The regularisation of each model is the best of four by accuracy on
the validation split. The model is trained on the training split and tested once.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from maskwright.core.engines import Preparation
from maskwright.corpora.documents import open_table, prepare_documents
from maskwright.corpora.splits import SPLITS
from maskwright.settings.build import build

CONF = str(Path(__file__).resolve().parents[2] / "conf")
NGRAMS = {"unigrams": (1, 1), "uni- and bigrams": (1, 2)}
STRENGTHS = (1.0, 3.0, 10.0, 30.0)  # C of scikit-learn: the larger, the less regularised


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="another data.source")
    parser.add_argument("--overrides", nargs="*", default=[], help="of the data: data.limit=1000")
    parser.add_argument("--data", default="imdb", help="an option of conf/data with labels")
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file")
    arguments = parser.parse_args()
    overrides = [f"data={arguments.data}", "task=classification", *arguments.overrides]
    overrides += [f"data.source={arguments.source}"] if arguments.source else []
    with initialize_config_dir(CONF, version_base="1.3"):
        config: Any = OmegaConf.to_container(compose("train", [*overrides, "run_dir=."]), resolve=True)
    data = build(
        config["data"],
        "data",
        tokenizer=build(config["tokenizer"], "tokenizer"),
        seed=1,
        preparation=Preparation(**config["preparation"]),
        target="class",
    )
    with tempfile.TemporaryDirectory() as temporary, data.preparation.open() as engine:
        folder = prepare_documents(data.recipe, Path(temporary), engine)
        tables = {split: open_table(folder, split).select(["text", "label"]).to_pydict() for split in SPLITS}
    figures = {name: evaluate(tables, ngrams) for name, ngrams in NGRAMS.items()}
    print(json.dumps(figures, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=2))


def evaluate(tables: dict[str, dict[str, list[str]]], ngrams: tuple[int, int]) -> dict[str, float]:
    """Returns the test scores with the regularisation that is best on the validation split."""
    vectorizer = TfidfVectorizer(ngram_range=ngrams, sublinear_tf=True, min_df=2)
    features = {"train": vectorizer.fit_transform(tables["train"]["text"])}
    features |= {split: vectorizer.transform(tables[split]["text"]) for split in ("validation", "test")}
    labels = {split: table["label"] for split, table in tables.items()}
    best: tuple[float, float, LogisticRegression] | None = None
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000).fit(features["train"], labels["train"])
        accuracy = accuracy_score(labels["validation"], model.predict(features["validation"]))
        if best is None or accuracy > best[0]:
            best = accuracy, strength, model
    assert best is not None
    predicted = best[2].predict(features["test"])
    return {
        "features": features["train"].shape[1],
        "C": best[1],
        "validation accuracy": best[0],
        "test accuracy": accuracy_score(labels["test"], predicted),
        "test F1, macro": f1_score(labels["test"], predicted, average="macro"),
    }


if __name__ == "__main__":
    main()
