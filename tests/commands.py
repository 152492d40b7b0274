"""docs/commands.md: the help of every command, as it prints it.

python -m tests.commands
"""

import contextlib
import importlib
import io
import os
from collections.abc import Iterator
from unittest import mock

from core.paths import ROOT

PAGE = ROOT / "docs" / "commands.md"
HEAD = """# Commands

Each with `.venv/bin/python -m` before it, but for `app.py`. Written by `python -m tests.commands`.
"""
COMMANDS = (  # what a person types, and the module whose `main` it is
    *(("app.py", "ui.launch"), ("models.generate",) * 2, ("models.export",) * 2, ("models.space",) * 2),
    ("models.lora",) * 2,
    ("models.trajectory",) * 2,
    *(("distill.train",) * 2, ("distill.publish",) * 2, ("distill.data.emoji",) * 2),
    *(
        ("distill.data.toys", "distill.data.toys.__main__"),
        ("distill.data.steered", "distill.data.steered.__main__"),
        ("threed.run",) * 2,
    ),
    *(("jobs", "jobs.__main__"), ("jobs.worker",) * 2),
    *(
        (f"benchmarks.{name}",) * 2
        for name in (
            "quality",
            "latency",
            "keystroke",
            "looking",
            "control",
            "pointer",
            "diversity",
            "commitment",
            "sheet",
            "threed",
        )
    ),
)


def helped(module: str) -> str:
    """What `--help` prints."""
    imported = importlib.import_module(module)
    out = io.StringIO()
    argv = mock.patch("sys.argv", [module, "--help"])
    with argv, contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        imported.flags().print_help() if module == "ui.launch" else imported.main()
    return out.getvalue().strip()


def text() -> str:
    with mock.patch.dict(os.environ, {"COLUMNS": "110"}):
        return "\n".join([HEAD, *sections()])


def sections() -> Iterator[str]:
    for command, module in COMMANDS:
        yield f"## {command}\n\n```\n{helped(module)}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
