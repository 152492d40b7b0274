"""The time from a keystroke to the decoded picture, measured in a real browser, and the time of the app's start.

    python -m benchmarks.keystroke [--model toybox-sprint] [--pictures 9] [--keystrokes 60]

It starts app.py as people do, opens the page in Chromium, types a prompt letter by letter, and reads the page's own
measurement (`performance.measure("keystroke")`): from the input event to the first decoded picture of the new prompt.
Letters first come one at a time, each after the wall of the last one, and then at the pace of a fast typist, when the
newest prompt has to overtake older walls.
"""

import argparse
import json
import math
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.report import RESULTS, Row, markdown, publish, record
from core.paths import ROOT, STUDIO
from models.request import DEFAULT_MODEL

TEXT = "a small red mushroom and two blue cubes on a yellow background, in front of a green house. "
CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
FAST_MS = 90  # between two letters, at 130 words a minute
WHOLE = """still.painter.wall.complete && !still.painter.busy
    && still.painter.wall.request.prompt === document.querySelector("#prompt").value"""
KEYS = ("model", "measure", "pictures", "device", "cores")


def percentile(values: Sequence[float], share: float) -> float:
    """The percentile by nearest rank: the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@contextmanager
def app(studio: Path, *flags: str, patience: float = 180.0) -> Iterator[tuple[str, float, int]]:
    """Within: app.py runs on a free port. Yields its address, the seconds from its start to a served page, and its
    process id."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = {STUDIO: str(studio), **os.environ}
    start, address = time.monotonic(), f"http://127.0.0.1:{port}/"
    command = [sys.executable, str(ROOT / "app.py"), "--port", str(port), *flags]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL) as server:
        try:
            while not served(address):
                if server.poll() is not None or time.monotonic() - start > patience:
                    raise ValueError(f"the app did not start (exit status {server.poll()})")
                time.sleep(0.05)
            yield address, time.monotonic() - start, server.pid
        finally:
            server.terminate()
            server.wait(30)


def compiled(address: str, patience: float = 300.0) -> None:
    """Returns when no network is being compiled, as torch answers until then. Raises ValueError."""
    start = time.monotonic()
    while time.monotonic() - start < patience:
        with urllib.request.urlopen(f"{address}healthz", timeout=30) as answer:
            if not json.load(answer)["compiling"]:
                return
        time.sleep(0.5)
    raise ValueError(f"networks are still being compiled after {patience:g} s")


def served(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=30).close()
    except (urllib.error.URLError, TimeoutError):
        return False
    return True


def typed(page, letters: str, pause_ms: int | None) -> list[float]:
    """The milliseconds of every keystroke whose picture was shown. `pause_ms=None`: each waits for the wall before
    it."""
    page.evaluate("performance.clearMeasures('keystroke')")
    for letter in letters:
        page.keyboard.type(letter)
        if pause_ms is None:
            page.wait_for_function(WHOLE)
        else:
            page.wait_for_timeout(pause_ms)
    page.wait_for_function(WHOLE)
    return page.evaluate("performance.getEntriesByName('keystroke').map(e => e.duration)")


def measure(address: str, model: str, pictures: int, keystrokes: int) -> tuple[list[tuple[str, list[float]]], str]:
    """The milliseconds of each way of typing, and the version of the browser."""
    from playwright.sync_api import sync_playwright

    letters = (TEXT * (2 * keystrokes // len(TEXT) + 1))[: 2 * keystrokes]
    query = urlencode({"prompt": "Now", "model": model, "num_images": pictures, "seed": 7})
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1400, "height": 1100})
        page.set_default_timeout(300_000)
        page.goto(f"{address}?{query}")
        page.wait_for_function(f"window.still?.arrived && {WHOLE}")
        compiled(address)
        page.locator("#prompt").press("End")
        typed(page, " ", None)
        one = typed(page, letters[:keystrokes], None)
        fast = typed(page, letters[keystrokes:], FAST_MS)
        version = browser.version
        browser.close()
    return [("keystroke to picture, one at a time", one), ("keystroke to picture, typing fast", fast)], version


def table(rows: Sequence[Row]) -> str:
    """The table of these rows. `pictures`: the pictures of the wall for each keystroke."""
    return markdown(rows, ["model", "device", "cores", "pictures", "measure", "p50", "p95", "unit"])


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.keystroke", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--model", default=DEFAULT_MODEL, help="an id of the catalogue")
    p.add_argument("--pictures", type=int, default=9, choices=(1, 4, 9, 16))
    p.add_argument("--keystrokes", type=int, default=60)
    p.add_argument("--out", type=Path, default=RESULTS / "keystroke.json")
    args = p.parse_args(argv)
    where = {"model": args.model, "pictures": args.pictures, "device": f"{platform.machine()} CPU"}
    where |= {"cores": len(os.sched_getaffinity(0))}
    try:
        with tempfile.TemporaryDirectory() as studio, app(Path(studio)) as (address, seconds, _):
            series, browser = measure(address, args.model, args.pictures, args.keystrokes)
    except ValueError as e:
        print(f"benchmarks.keystroke: {e}", file=sys.stderr)
        return 2
    rows: list[Row] = [where | {"measure": "start to a served page", "p50": seconds * 1000, "unit": "ms"}]
    for name, times in series:
        shares = {"p50": statistics.median(times), "p95": percentile(times, 0.95), "shown": len(times)}
        rows.append(where | {"measure": name, **shares, "unit": "ms", "browser": f"Chromium {browser}"})
    all_rows = record(args.out, rows, KEYS)
    if args.out.parent == RESULTS:
        publish("keystroke", table(all_rows))
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
