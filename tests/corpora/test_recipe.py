"""The recipe for a corpus, from its config."""

import pytest

from maskwright.core.errors import UserError
from maskwright.corpora.recipe import Recipe, SourceRecipe, key_of, sources_of
from maskwright.corpora.source import Source

CLEANING = ("html_tags", "whitespace")
SPLITS = {"train": "train", "validation": 0.1, "test": 0.1}


def test_invalid_splits_are_refused():
    source = Source("x.txt", None, "text", "row")
    for splits in (
        {"validation": 0.6, "test": 0.5},
        {"validation": 0.0, "test": 0.1},
        {"validation": 1.5, "test": 0.1},
    ):
        with pytest.raises(UserError, match=r"data\.splits\.validation"):
            SourceRecipe(source, CLEANING, {"train": "train", **splits}, None)
    with pytest.raises(UserError, match=r"data\.splits\.train"):
        SourceRecipe(source, CLEANING, {"train": 0.9, "validation": 0.05, "test": 0.05}, None)
    with pytest.raises(UserError, match=r"data\.limit=0"):
        SourceRecipe(source, CLEANING, SPLITS, 0)


def test_sources_of_returns_settings_by_name_for_one_source_and_for_several():
    one = {"source": "a.txt", "limit": 3, "block_size": 128, "sources": None}
    assert sources_of(one) == {"": {"source": "a.txt", "limit": 3}}
    several = {"sources": {"a": {"source": "a.txt"}, "b": {"source": "b.txt"}}, "labels": ["x", "y"], "limit": 3}
    assert sources_of(several) == {name: {"source": f"{name}.txt", "labels": ["x", "y"]} for name in "ab"}
    assert [key_of(name) for name in ("", "a")] == ["data", "data.sources.a"]


def test_the_settings_that_documents_depend_on_are_unchanged(tmp_path):
    """Otherwise everything in the caches of users would be prepared again."""
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("a b c")
    settings = {name: {"source": str(tmp_path / f"{name}.txt"), "splits": SPLITS} for name in "ab"}
    stamps = {name: (tmp_path / f"{name}.txt").stat() for name in "ab"}
    alone = {
        name: [
            8,
            [
                "files",
                [(settings[name]["source"], 5, stamp.st_mtime_ns, None)],
                None,
                "text",
                "row",
                None,
                None,
                [None, None, True, []],
            ],
            (),
            [("test", 0.1), ("train", "train"), ("validation", 0.1)],
            None,
        ]
        for name, stamp in stamps.items()
    }
    assert Recipe.of(settings["a"]).settings() == alone["a"]
    assert Recipe.of({"sources": settings}).settings() == [alone["a"], alone["b"]]


def test_labels_of_a_config_are_spelled_as_readers_spell_them():
    settings = {"source": "x.csv", "label": "label", "splits": SPLITS}
    names = {0: "neg", 1.5: "pos", True: 2, "False": 1.0}
    recipe = Recipe.of({**settings, "label_names": names})
    assert recipe.sources[""].source.label_names == {"0": "neg", "1.5": "pos", "true": "2", "false": "1"}
    recipe = Recipe.of({**settings, "labels": [True, "False", 1, 2.0, "3.0", "x"]})
    assert recipe.sources[""].source.labels == ("true", "false", "1", "2", "3", "x")


def test_several_files_are_one_source(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name)
    recipe = Recipe.of({"source": [f"{tmp_path}/a.txt", f"{tmp_path}/b.txt"], "splits": SPLITS})
    assert str(recipe) == f"data.source='{tmp_path}/a.txt, {tmp_path}/b.txt'"
    assert list(recipe.sources[""].source.read("train")) == ["a", "b"]
