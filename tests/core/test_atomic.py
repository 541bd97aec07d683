import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maskwright.core.atomic import fingerprint, write_file, write_once
from maskwright.core.errors import UserError


def test_a_folder_is_written_once(tmp_path):
    calls = []

    def write(folder: Path) -> None:
        calls.append(folder)
        (folder / "x").write_text("1")

    for _ in range(2):
        assert (write_once(tmp_path / "a" / "b", write) / "x").read_text() == "1"
    assert len(calls) == 1


def test_an_error_leaves_no_folder(tmp_path):
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError):
        write_once(tmp_path / "x", fail)
    assert [p.name for p in tmp_path.iterdir()] == ["x.lock"]


def test_a_full_device_is_reported(tmp_path):
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match=r"No space left on the device.*data\.cache_dir"):
        write_once(tmp_path / "x", fail)
    assert not (tmp_path / "x").exists()
    assert not list(tmp_path.glob(".x-*"))


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path):
    path = tmp_path / "x"
    write_file(path, lambda new: new.write_text("one"))

    def fail(new: Path) -> None:
        new.write_text("tw")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left"):
        write_file(path, fail)
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_nothing_that_a_later_one_trusts(tmp_path):
    script = f"""
import time
from pathlib import Path
from maskwright.core.atomic import write_once
def write(folder):
    (folder / "half").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
write_once(Path({str(tmp_path)!r}) / "x", write)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    process.kill()
    process.wait()
    assert not (tmp_path / "x").exists()
    assert list(tmp_path.glob(".x-*"))

    began = time.monotonic()
    write_once(tmp_path / "x", lambda folder: (folder / "whole").write_text("whole"))
    assert time.monotonic() - began < 30  # the dead writer's lock is free
    assert {p.name for p in (tmp_path / "x").iterdir()} == {"whole", "files.json"}
    assert not list(tmp_path.glob(".x-*"))


def test_fingerprints_depend_on_the_settings_and_not_on_their_order():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_a_script_without_a_main_guard_is_refused(tmp_path):
    """It would deadlock: its worker processes import it, and ask for the folder that they are to help prepare."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from maskwright.core.atomic import write_once\n"
        "from maskwright.core.parallel import parallel_map\n"
        f"write_once(Path({str(tmp_path / 'folder')!r}), lambda folder: list(parallel_map(abs, [1, 2], 2)))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert 'if __name__ == "__main__":' in done.stderr


def _written(folder: Path) -> None:
    (folder / "split").mkdir()
    (folder / "split" / "ids.bin").write_bytes(bytes(range(256)) * 1000)
    (folder / "notes.json").write_text("{}")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _blank_the_end(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1000] + bytes(1000))


@pytest.mark.parametrize("damage", [_cut, _blank_the_end, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["split/ids.bin", "notes.json", "files.json"])
def test_a_damaged_folder_is_made_anew(tmp_path, capsys, name, damage):
    folder = write_once(tmp_path / "x", _written)
    whole = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    damage(folder / name)
    assert write_once(folder, _written) == folder
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == whole
    assert "is damaged, and is made anew" in capsys.readouterr().out
    write_once(folder, lambda _: pytest.fail("it is whole"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_cache_that_may_not_be_written_is_told_in_one_sentence(tmp_path, monkeypatch, number):
    def refuse(self, *args, **kwargs):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match=r"cannot be written: .*MASKWRIGHT_CACHE"):
        write_once(tmp_path / "cache" / "x", _written)


def test_a_file_where_the_cache_should_be_is_told(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(UserError, match=r"cannot be written: .*MASKWRIGHT_CACHE"):
        write_once(tmp_path / "cache" / "folder" / "x", _written)


def test_a_process_that_waits_for_another_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("maskwright.core.atomic._PATIENCE", 0.05)
    script = f"""
import time
from filelock import FileLock
with FileLock({str(tmp_path / "x.lock")!r}):
    print("locked", flush=True)
    time.sleep(1)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        write_once(tmp_path / "x", _written)
    assert "waiting for another process, which prepares" in capsys.readouterr().out.replace("\n", " ")
