"""The front door: README stays short, links lead somewhere, the commands' page is what the commands print, and the
first hour works as it is written."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from core.paths import ROOT
from tests import commands

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 130 and sum(line.startswith("|") for line in lines) <= 15


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in (ROOT / "docs").glob("*.md") if p.name != "README.md" and f"({p.name})" not in index] == []


def test_the_commands_are_as_they_print_themselves():
    assert commands.PAGE.read_text(encoding="utf-8") == commands.text(), "write it again: python -m tests.commands"


@pytest.mark.slow
def test_the_first_hour_as_it_is_written(tmp_path):
    """All but `make run`, which the tests of the page do."""
    blocks = re.findall(r"```\n(.*?)```", (ROOT / "docs" / "first-hour.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith(".venv/bin/python")]
    assert len(lines) == 7
    place = os.environ | {"STILL_LIFE_STUDIO": str(tmp_path / "studio"), "PYTHONPATH": str(ROOT)}
    for line in lines:
        command = [sys.executable, *shlex.split(line)[1:]]
        ran = subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True, timeout=1800)
        assert ran.returncode == 0, ran.stderr[-2000:]
    assert {"mushroom.png", "mushroom-0.png", "mug.png", "steps.png", "mine.png", "teacher.png"} <= {
        p.name for p in tmp_path.iterdir()
    }
    assert (tmp_path / "studio" / "models" / "my-first" / "README.md").is_file()
