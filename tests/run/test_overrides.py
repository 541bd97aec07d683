"""Texts and paths on the command line: each is taken as it is, in every key that takes one."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep

from maskwright.run.overrides import quoted
from tests.conftest import ROOT

CONF = str(ROOT / "conf")
ODD = [
    "~/books", "été.txt", "书/中.txt", "epoch=0-step=2.ckpt", "it's", "'tis", 'a"b', "a(b", "a(b)", "f(1)", "a[1].txt",
    "[a", "a#b", "a&b!", "a,b.csv", ",", "a, b", "a{b", "{train,test}.csv", "{a:b}", "a|b;c", "a\\b", "2026", "1e3", "true",
]  # fmt: skip
TRAIN = ["ckpt_path", "+ckpt_path", "init_from", "run_dir", "objective", "hydra.run.dir", "hydra.sweep.dir"]
NODES = [
    "data.source",
    "data.cache_dir",
    "mask.units.path",
    "logger.csv.save_dir",
    "callbacks.curve.path",
    "data.config",
]
KEYS = [
    ("train", TRAIN, []),
    ("train", NODES, ["data=csv", "mask=pmi"]),
    ("train", ["model.name", "tokenizer.name"], ["model=pretrained"]),
    ("train", ["mask.weights.lexicon", "data.sources.imdb.source"], ["data=mixture", "mask=lexicon"]),
    ("evaluate", ["run", "output", "data.source"], ["data=csv"]),
    ("predict", ["run", "output", "data.source", "text"], []),
    ("mask", ["text", "title", "output", "data.source"], []),
]


def taken(value: str, key: str = "data.source", name: str = "train", others=("data=csv",), flags=()):
    """Returns what Hydra reads of a value on the command line of a program."""
    *_, argument = quoted([*flags, *others, f"{key}={value}"], CONF, name)
    read = OverridesParser.create().parse_override(argument).value()
    return [getattr(own, "text", own) for own in read.list] if isinstance(read, ChoiceSweep) else read


@pytest.mark.parametrize(("name", "keys", "others"), KEYS)
def test_odd_paths_and_texts_are_taken_as_they_are(name, keys, others, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in ("2026", "1e3", "true"):  # is a path where there is one
        (tmp_path / number).touch()
    odd = [(key, value) for key in keys for value in ODD]
    arguments = quoted([*others, *(f"{key}={value}" for key, value in odd)], CONF, name)
    read = [OverridesParser.create().parse_override(argument).value() for argument in arguments[len(others) :]]
    assert list(zip([key for key, _ in odd], map(str, read), strict=True)) == odd


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("~/a,~/b", ["~/a", "~/b"]),
        ("a,b", ["a", "b"]),
        ("it's,b=c", ["it's", "b=c"]),
        ("{a,b}.csv,c", ["{a,b}.csv", "c"]),
        ("'a,b',~/c", ["a,b", "~/c"]),
        ("(a,b", ["(a", "b"]),
        ("there,is.csv", "there,is.csv"),
    ],
)
@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_a_comma_separates_the_paths_of_a_sweep_unless_there_is_such_a_file(
    value, expected, flag, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there,is.csv").touch()
    assert taken(value, flags=[flag]) == expected
    assert taken(value, key="ckpt_path", flags=[flag]) == expected
    assert taken(value, key="text", name="mask", others=(), flags=[flag]) == value


@pytest.mark.parametrize(
    ("argument", "flags"),
    [
        ("data.source=[a.csv,b.csv]", []),
        ("data.source='a,b'", []),
        ("data.source=choice(a,b)", ["-m"]),
        ("seed=1,2", []),
        ("seed=1,2", ["-m"]),
        ("seed=range(1,3)", ["-m"]),
        ("mask=token,span", ["-m"]),
        ("mask.ratio=0.1,0.2", []),
        ("data.labels=neg,pos", []),
        ("data.column=1", []),
        ("data.limit=50", []),
        ("data.label_names={0: neg}", []),
        ("init_from=null", []),
        ("run_dir=${seed}/a", []),
        ("~logger", []),
        ("--config-dir=~/a", []),
        ("a='b", []),
        ("armsone=mask,span", []),
    ],
)
def test_what_means_something_to_hydra_stays(argument, flags):
    assert quoted([*flags, "data=csv", argument], CONF, "train")[-1] == argument


def test_lists_of_odd_paths_and_interpolations_in_them_are_read():
    assert taken("[~/a.csv,b=c.csv,'d,e']") == ["~/a.csv", "b=c.csv", "d,e"]
    assert taken("~/${seed}", "run_dir") == "~/${seed}"
    assert quoted(["text=costs ${5}"], CONF, "mask") == ["text='costs \\${5}'"]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("settings=data=text a.b=1", "settings='data=text a.b=1'"),
        ("arms.one=mask=span mask.ratio=0.1", "arms.one='mask=span mask.ratio=0.1'"),
        ("+arms.one=mask=span", "+arms.one='mask=span'"),
        ("armsone=mask,span", "armsone=mask,span"),
        ("arms.one='a b'", "arms.one='a b'"),
        ("other=[1,2]", "other=[1,2]"),
    ],
)
def test_a_program_without_types_names_the_keys_of_its_prose(argument, expected):
    assert quoted([argument], CONF, "study", ("settings", "arms.")) == [expected]
