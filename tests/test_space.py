"""Publishing as a Space: the committed tip, checked, listed without a network; and the README that a Space reads."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.paths import ROOT
from models import space

README = "---\ntitle: x\nsdk: gradio\n---\n# x\n"


def git(root, *args):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(root), *who, *args], check=True, capture_output=True)


@pytest.fixture
def repo(tmp_path):
    root = tmp_path / "repo"
    root.mkdir()
    (root / "a").mkdir()
    tree = {"README.md": README, "app.py": "", "requirements.txt": "", ".gitattributes": "", "a/b.txt": "12345"}
    for name, text in tree.items():
        (root / name).write_text(text)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


def test_a_dry_run_lists_the_tip_and_not_the_work_tree(repo, capsys):
    (repo / "a" / "b.txt").write_text("much longer now")
    (repo / "secret.txt").write_text("never committed")
    assert space.main(["--dry-run"], root=repo) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^ +5  a/b.txt$", out, re.M)
    assert "secret" not in out and ".gitattributes" not in out
    assert out.splitlines()[-1].split()[1:5] == ["bytes", "in", "4", "files"]
    assert "not committed" in err


def test_the_tip_of_this_repository_could_be_sent(capsys):
    """Its files are there, and none is larger than a Space takes; checkouts without the history will do."""
    assert space.main(["--dry-run"]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    for name in (*space.NEEDED, "assets/weights/toybox-sprint/manifest.json"):
        assert re.search(rf"^ +[\d,]+  {name}$", out, re.M), name


@pytest.mark.parametrize(("change", "reason"), [
    (lambda root: (root / "app.py").unlink(), "app.py is not committed"),
    (lambda root: (root / "README.md").write_text("# no front matter"), "front matter"),
    (lambda root: (root / "big.bin").write_bytes(b"0" * 31_000_000), "big.bin has 31 MB"),
])  # fmt: skip
def test_what_a_space_would_refuse_is_said_before(repo, capsys, change, reason):
    change(repo)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "worse")
    assert space.main(["ada/still", "--dry-run"], root=repo) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "still", "a/b/c", "https://x/y", "a b/c"])
def test_a_space_needs_a_name(repo, capsys, name):
    assert space.main([name], root=repo) == 2
    assert "user/name" in capsys.readouterr().err


def test_outside_git_it_is_one_sentence(tmp_path, capsys):
    assert space.main(["--dry-run"], root=tmp_path) == 2
    assert "git rev-parse failed" in capsys.readouterr().err


def test_a_hub_that_cannot_be_reached_is_one_sentence(repo):
    env = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": "hf_none", "HF_HUB_OFFLINE": "0"}
    code = f"import sys, pathlib; from models.space import main; sys.exit(main(['a/b'], pathlib.Path({str(repo)!r})))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 2
    assert ran.stderr.startswith("models.space: the Hub did not take it") and len(ran.stderr.splitlines()) == 1


def front_matter(text: str) -> dict[str, str]:
    lines = text.split("---\n")[1].splitlines()
    return {k: v.strip().strip('"') for k, v in (line.split(":", 1) for line in lines if ":" in line)}


def test_the_readme_says_to_a_space_what_the_requirements_say():
    facts = front_matter((ROOT / "README.md").read_text(encoding="utf-8"))
    pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", (ROOT / "requirements.txt").read_text(), re.M))
    assert facts["sdk"] == "gradio" and facts["sdk_version"] == pinned["gradio"]
    assert facts["python_version"] == "3.11" and facts["app_file"] == "app.py"
    assert facts["license"] == "apache-2.0" and len(facts["short_description"]) <= 60


def test_every_requirement_is_pinned():
    for path in Path(ROOT).glob("requirements*.txt"):
        for line in path.read_text().splitlines():
            assert line.startswith(("#", "-r ")) or re.fullmatch(r"[\w.\[\]-]+==[\w.]+", line), f"{path.name}: {line}"
