"""The ground floor: files that appear whole, the memory that forgets, the studio that is settled once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import files
from core.files import LRU, whole_file, whole_folder
from core.paths import ROOT, STUDIO, studio, use_studio


def test_a_file_appears_whole_or_stays_what_it_was(tmp_path):
    path = tmp_path / "a.json"
    for text in ("first", "second"):
        with whole_file(path, lasting=True) as part:
            part.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    with pytest.raises(ValueError, match="halfway"), whole_file(path) as part:
        part.write_text("third")
        raise ValueError("halfway")
    assert path.read_text() == "second" and os.listdir(tmp_path) == ["a.json"]


def test_a_folder_appears_whole_or_stays_what_it_was(tmp_path):
    home = tmp_path / "model"
    for name in ("a", "b"):
        with whole_folder(home, lasting=True) as part:
            (part / "deep").mkdir()
            (part / "deep" / name).write_text(name)
    assert [p.name for p in home.rglob("*")] == ["deep", "b"], "nothing of the folder before"
    with pytest.raises(OSError), whole_folder(home) as part:
        (part / "c").write_text("c")
        raise OSError("halfway")
    assert [p.name for p in home.rglob("*")] == ["deep", "b"] and os.listdir(tmp_path) == ["model"]


def test_what_a_killed_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    home, gone = tmp_path / "model", subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    theirs = {pid: tmp_path / f".model.{pid}" for pid in (gone.pid, os.getppid())}
    for folder in theirs.values():
        folder.mkdir()
    other = tmp_path / ".model.backup"
    other.mkdir()
    with whole_folder(home):
        pass
    assert not theirs[gone.pid].exists() and theirs[os.getppid()].exists() and other.exists()


def test_the_value_used_longest_ago_is_forgotten():
    held: LRU[str, str] = LRU(most=5, size=len)
    for key in ("a", "bb", "cc"):
        held.put(key, key)
    assert held.get("a") == "a"
    held.put("dd", "dd")
    assert [key for key, _ in held.items()] == ["cc", "a", "dd"], "bb was used longest ago"
    held.put("dd", "d")
    held.put("e", "e")
    assert [key for key, _ in held.items()] == ["cc", "a", "dd", "e"], "a value that shrank makes room"
    held.put("large", "larger than all")
    assert [key for key, _ in held.items()] == ["large"], "the newest stays"
    assert held.get("a") is None and held.get("a", "none") == "none"


def test_the_studio_is_settled_once_for_all_that_is_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(STUDIO, "mine")
    assert use_studio() == tmp_path / "mine"
    monkeypatch.chdir("/")
    assert studio() == tmp_path / "mine", "a relative folder means the one of where the command began"
    code = "from core.paths import studio; print(studio())"
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert Path(child.stdout.strip()) == tmp_path / "mine"
    assert use_studio(tmp_path / "other") == studio() == tmp_path / "other"


def test_the_ground_floor_is_quick_to_import():
    """No torch, no numpy: listing jobs and building the page's forms stand on it."""
    modules = [f"core.{p.stem}" for p in sorted(Path(files.__file__).parent.glob("[a-z]*.py"))]
    code = f"import sys, {', '.join(modules)}; print(*{{'torch', 'numpy', 'safetensors'}} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.split() == []
