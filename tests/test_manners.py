"""Manners of commands: Ctrl+C is one sentence and the status that a shell knows, and libraries are silent."""

import os
import signal
import subprocess
import sys

import pytest

from core.paths import ROOT
from tests import tiny
from tests.commands import COMMANDS

AT_AN_IMPORT = """
import signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a test that runs in the background has not

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "argparse":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
"""


@pytest.mark.parametrize("command", [command for command, _ in COMMANDS])
def test_ctrl_c_is_one_sentence_from_the_first_import_on(tmp_path, command):
    (tmp_path / "sitecustomize.py").write_text(AT_AN_IMPORT)
    line = [sys.executable, *([command] if command == "app.py" else ["-m", command])]
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (-signal.SIGINT, "") and ended.stderr == "Stopped by Ctrl+C.\n"


def test_a_model_that_is_loaded_and_paints_says_nothing_that_nobody_asked(tmp_path):
    """A LoRA, at timesteps that are not its scheduler's own: libraries warned of both, and showed bars."""
    studio = tiny.build_sd(tmp_path / "studio")
    command = [sys.executable, "-m", "models.generate", "a red ball", "--model", "tiny-hyper", "--steps", "4"]
    command += ["--studio", str(studio), "--out", str(tmp_path / "ball.png")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, "") and ended.stdout.count("\n") == 1
