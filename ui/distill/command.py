"""A command that a page runs beside itself: nice, and it ends when the page's process does."""

import subprocess
import sys

from core.paths import ROOT
from jobs import process

NICE = 10  # the page comes first


def trouble(module: str, *arguments: str, minutes: float) -> str:
    """Runs `python -m module …` to its end; one sentence on what went wrong, empty where all is well."""
    command = process.guarded([sys.executable, "-m", module, *arguments], nice=NICE)
    try:
        out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60 * minutes)
    except subprocess.TimeoutExpired:
        return f"it was not done within {minutes:g} minutes"
    return last_sentence(module, out.stderr) if out.returncode else ""


def last_sentence(module: str, errors: str) -> str:
    """The sentence of a command that failed; a fault of the code shows its last line."""
    last = (errors.strip().splitlines() or ["it ended without saying why"])[-1][:500]
    sentence = last.removeprefix(f"{module}: ")
    return sentence if sentence != last else f"it failed ({last})"
