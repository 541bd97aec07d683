"""A corpus of several shards is read as one, and is the same whatever prepares it."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskwright.annotations import Frequency
from maskwright.core.engines import Preparation
from maskwright.core.errors import UserError
from maskwright.corpora import sharding
from maskwright.text.tokenizer import Pretrained
from tests.conftest import make_text

FILES = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for number in range(FILES):
        add(folder, number)
    return folder


@pytest.fixture
def cut(monkeypatch):
    """Makes every file a shard."""
    monkeypatch.setattr(sharding, "_BYTES", 1)


def add(folder: Path, number: int) -> None:
    texts = (make_text(seed) for seed in range(number * 60, number * 60 + 60))
    (folder / f"part-{number}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def contents(cache: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(cache)): path.read_bytes()
        for path in cache.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def times(cache: Path) -> dict[str, int]:
    return {
        str(path.relative_to(cache)): path.stat().st_mtime_ns for path in cache.glob("*/**/*") if path.is_file()
    }


def test_shards_are_the_corpus_that_one_folder_holds(make, folder, tmp_path, monkeypatch):
    whole = make(source=str(folder), cache_dir=str(tmp_path / "whole"), annotations=[Frequency()])
    monkeypatch.setattr(sharding, "_BYTES", 1)
    shards = make(source=str(folder), cache_dir=str(tmp_path / "shards"), annotations=[Frequency()])
    assert len([*(tmp_path / "shards").glob("tokens-*/")]) == FILES + 1
    assert len([*(tmp_path / "whole").glob("tokens-*/")]) == 1
    assert shards.findings == whole.findings
    assert shards.remarks() == whole.remarks()
    for split in ("train", "validation", "test"):
        one, other = whole.tokens[split], shards.tokens[split]
        assert whole.texts(split) == shards.texts(split) == shards.documents[split]["text"][:]
        for name in ("ids", "flags", "ends", "counts"):
            assert np.array_equal(np.asarray(getattr(one, name)), np.asarray(getattr(other, name)))
        assert (one.unigram_entropy, one.documents, one.count) == (
            other.unigram_entropy,
            other.documents,
            other.count,
        )
        assert np.array_equal(whole.annotated(split)["frequency"], shards.annotated(split)["frequency"])
    # blocks reach over the borders of shards; a run that is resumed in the middle of an epoch takes the same ones
    for step in (0, 7):
        assert_equal(batches(whole, step), batches(shards, step))


def batches(data, step):
    loader = iter(data.train_dataloader())
    return [next(loader) for _ in range(step + 3)][step:]


def assert_equal(one, other):
    for left, right in zip(one, other, strict=True):
        assert left.keys() == right.keys()
        assert all((left[name] == right[name]).all() for name in left)


def test_what_a_limit_takes_does_not_depend_on_shards(make, folder, tmp_path, cut):
    limited = make(source=str(folder), cache_dir=str(tmp_path), limit=70)
    assert sum(len(limited.texts(split)) for split in ("train", "validation", "test")) == 70
    assert len([*tmp_path.glob("tokens-*/")]) == 1


def test_a_new_file_leaves_the_other_shards_as_they_are(make, tmp_path, cut, capsys):
    source, cache = tmp_path / "files", tmp_path / "cache"
    source.mkdir()
    for number in range(2):
        add(source, number)
    first = make(source=str(source), cache_dir=str(cache))
    assert "tokenizer.name=" in capsys.readouterr().out
    kept = {"source": str(source), "cache_dir": str(cache), "tokenizer": Pretrained(str(first.tokenizer_folder))}
    make(**kept)
    before = times(cache)
    add(source, 2)
    texts = first.texts("train")
    more = make(**kept)
    after = times(cache)
    assert {name: after[name] for name in before} == before
    new = {name.split("/")[0] for name in after.keys() - before.keys()}
    # a shard of documents and one of tokens, and what names all of them; the tokenizer is named by its contents
    assert sorted(name.split("-")[0] for name in new) == ["documents", "documents", "tokens", "tokens"]
    assert more.texts("train")[: len(texts)] == texts
    damaged = next(path for path in cache.glob("tokens-*/train/ids.bin"))
    ids = np.array(more.tokens["train"].ids)
    damaged.unlink()
    again = make(**kept)
    assert np.array_equal(np.asarray(again.tokens["train"].ids), ids)
    changed = {name.split("/")[0] for name, time in times(cache).items() if after.get(name) != time}
    assert changed == {damaged.parent.parent.name}


def test_files_of_a_folder_in_the_layout_of_the_hub_are_shards(make, tmp_path, monkeypatch):
    hub, cache = tmp_path / "hub", tmp_path / "cache"
    hub.mkdir()
    (hub / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: part-*\n---\n"
    )
    for number in range(2):
        add(hub, number)
    whole = make(source=str(hub), cache_dir=str(tmp_path / "whole"))
    assert len([*(tmp_path / "whole").glob("tokens-*/")]) == 1  # a small one, which needs no `datasets` later
    monkeypatch.setattr(sharding, "_BYTES", 1)
    monkeypatch.setattr("maskwright.corpora.source._LARGE", 0)
    kept = {"source": str(hub), "cache_dir": str(cache), "tokenizer": Pretrained(str(whole.tokenizer_folder))}
    shards = make(**kept)
    for split in ("train", "validation", "test"):
        assert whole.texts(split) == shards.texts(split)
    assert shards.findings == whole.findings
    before = times(cache)
    add(hub, 2)
    more = make(**kept)
    after = times(cache)
    assert {name: after[name] for name in before} == before
    new = {name.split("/")[0] for name in after.keys() - before.keys()}
    assert sorted(name.split("-")[0] for name in new) == ["documents", "documents", "tokens", "tokens"]
    assert len(more.texts("train")) > len(whole.texts("train"))
    source = more.recipe.sources[""].source
    assert len(source.files_in_order(["train"])) == 3
    # an article may begin in one file and end in the next
    assert replace(source, document="article").files_in_order(["train"]) is None


def test_shards_depend_on_no_other_files(tmp_path, monkeypatch):
    monkeypatch.setattr(sharding, "_BYTES", 100)
    paths = [tmp_path / f"{number}.txt" for number in range(40)]
    for number, path in enumerate(paths):
        path.write_text("x" * (250 if number % 7 == 0 else 30))
    before = sharding._runs(paths)
    assert [path for run in before for path in run] == paths
    assert 5 < len(before) < 40
    made_anew = []
    for number in range(40):
        fewer = sharding._runs(paths[:number] + paths[number + 1 :])
        made_anew.append(len([run for run in fewer if run not in before]))
    # none where the file was a shard by itself, which depends on the hash of its path
    assert {*made_anew} <= {0, 1}
    assert sum(made_anew) > 10


def test_settings_that_do_not_fit_together_are_refused():
    with pytest.raises(UserError, match=r"preparation\.address=tcp://a:1 is that.*Set preparation\.engine=dask"):
        Preparation(address="tcp://a:1")
    with pytest.raises(
        UserError, match=r"preparation\.workers=2, but the cluster at preparation\.address=tcp://a:1"
    ):
        Preparation("dask" if has_dask() else "processes", 2, "tcp://a:1")


def has_dask() -> bool:
    import importlib.util

    return importlib.util.find_spec("distributed") is not None


def test_dask_prepares_the_same_bytes_and_the_same_errors(make, folder, tmp_path, cut, monkeypatch):
    """One test, as a cluster takes seconds to start; its workers find the relative paths of the command."""
    pytest.importorskip("distributed", reason="the extra cluster is not installed")
    monkeypatch.chdir(folder.parent)
    names = {"source": folder.name}
    one = tmp_path / "one"
    make(**names, cache_dir=str(one))
    two = tmp_path / "two"
    make(**names, cache_dir=str(two), preparation=Preparation(workers=2))
    with Preparation("dask", 2).open() as cluster:
        dask = Preparation("dask", address=cluster._connected().scheduler.address)
        make(**names, cache_dir=str(tmp_path / "three"), preparation=dask)
        assert contents(one) == contents(two) == contents(tmp_path / "three")
        bad = tmp_path / "bad"
        bad.mkdir()
        (bad / "a.jsonl").write_text('{"text": "A."}\n')
        (bad / "b.jsonl").write_text('{"text": "A."}\n{"txt": ')
        said = []
        for preparation in (Preparation(workers=1), dask):
            with pytest.raises(UserError) as error:
                make(source=str(bad), cache_dir=str(tmp_path / "c"), preparation=preparation)
            said.append(str(error.value))
        assert said[0] == said[1]
        assert "b.jsonl" in said[0]
        with pytest.raises(UserError, match="A process that prepares the corpus was killed"):
            cluster.fill({tmp_path / "killed": lambda *_: os._exit(1)}, "Dying", None)
        # which the processes of pytest-xdist ignore
        ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            cluster.fill({tmp_path / "stopped": lambda *_: time.sleep(60)}, "Waiting", None)
        signal.signal(signal.SIGINT, ignored)
        began = time.monotonic()
    assert time.monotonic() - began < 20  # the worker that waits is ended, not waited for
    assert not (tmp_path / "stopped").exists()
    assert not list(tmp_path.glob("three/.*-*/"))


def test_an_address_where_no_cluster_answers_is_reported(tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="the extra cluster is not installed")
    monkeypatch.setattr("maskwright.core.cluster._TIMEOUT", "0.5s")
    with Preparation("dask", address="tcp://127.0.0.1:9").open() as engine:
        engine.fill({}, "Nothing to do", None)  # which asks nobody
        with pytest.raises(UserError, match=r"preparation\.address=.*:9: no scheduler of a Dask") as error:
            engine.fill({tmp_path / "folder": print}, "Nobody", None)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_process_that_is_killed_is_reported(tmp_path):
    from maskwright.core.parallel import parallel_map

    with pytest.raises(UserError, match="A process that prepares the corpus was killed"):
        list(parallel_map(os._exit, [1, 1], 2))
