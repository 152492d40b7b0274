"""Commands that the page runs in processes of their own, at low priority. They end with the page's process."""

import subprocess
import sys

from core.paths import ROOT
from jobs import process

NICE = 10  # niceness, so that the page stays fast


def trouble(module: str, *arguments: str, minutes: float) -> str:
    """Run `python -m module …` to its end; returns one sentence on a failure, else an empty text."""
    command = process.guarded([sys.executable, "-m", module, *arguments], nice=NICE)
    try:
        out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60 * minutes)
    except subprocess.TimeoutExpired:
        return f"it was not done within {minutes:g} minutes"
    return last_sentence(module, out.stderr) if out.returncode else ""


def last_sentence(module: str, errors: str) -> str:
    """The error sentence of a failed command; for a fault of the code its last line."""
    last = (errors.strip().splitlines() or ["it ended without saying why"])[-1][:500]
    sentence = last.removeprefix(f"{module}: ")
    return sentence if sentence != last else f"it failed ({last})"
