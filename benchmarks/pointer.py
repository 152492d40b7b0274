"""The time from the end of a stroke on the Draw page to the decoded picture in a browser, and the server's memory.

    python -m benchmarks.pointer [--model toybox-hyper] [--strokes 40] [--minutes 0]

Each stroke is drawn with pointer events on a cleared sheet, in black: a model with a control follows it, another reads
it as colours. The page measures from the release of the pointer to the first decoded picture (`performance.measure
("stroke")`). `--minutes`: scribbles on for so long, and says by how much the server's memory has grown in the second
half, as the cache of painted pictures fills at first.
"""

import argparse
import math
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.keystroke import CHROMIUM, FLAGS, app, compiled, percentile
from benchmarks.report import RESULTS, Row, markdown, record

KEYS = ("model", "measure", "device", "cores")
QUIET = "document.querySelector('#draw-pace')?.textContent.startsWith('4 pictures')"
EMPTY = "document.querySelector('#draw-pace').textContent.startsWith('Draw something')"
SETTLED = 0.5  # of the scribbling, after which memory is counted: until then bounded caches are filled


def stroke(page, rng: random.Random) -> None:
    """A curve through the sheet, its pen up at the end."""
    box = page.locator(".sl-draw-canvas").bounding_box()
    centre, turn, size = (rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7)), rng.uniform(0, 6), rng.uniform(0.1, 0.3)
    for k in range(12):
        angle = turn + k / 2
        x, y = (c + size * f(angle) for c, f in zip(centre, (math.cos, math.sin), strict=True))
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if k == 0:
            page.mouse.down()
    page.mouse.up()


def memory(port: str) -> float:
    """MiB that the process serving this port has in memory."""
    for folder in Path("/proc").iterdir():
        line = folder / "cmdline"
        if folder.name.isdigit() and line.is_file() and f"--port\0{port}" in line.read_text():
            pages = int((folder / "statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    raise ValueError(f"no process serves port {port}")


def measure(address: str, model: str, strokes: int, minutes: float) -> tuple[list[float], float | None]:
    """Milliseconds of each stroke, and MiB by which the server grew while somebody scribbled."""
    from playwright.sync_api import sync_playwright

    rng, port = random.Random(0), address.rstrip("/").rpartition(":")[2]
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1400, "height": 1100})
        page.set_default_timeout(300_000)
        page.goto(f"{address}draw?{urlencode({'prompt': 'a blue mug', 'model': model, 'seed': 7})}")
        page.wait_for_function(QUIET)
        compiled(address)
        page.get_by_label("Colour #222222").click()
        for k in range(strokes + 3):
            if k == 3:
                page.evaluate("performance.clearMeasures('stroke')")
            page.get_by_role("button", name="Clear the drawing").click()
            page.wait_for_function(EMPTY)
            stroke(page, rng)
            page.wait_for_function(QUIET)
        spent = page.evaluate("performance.getEntriesByName('stroke').map(e => e.duration)")
        begun, first = time.monotonic(), None
        while time.monotonic() - begun < 60 * minutes:
            stroke(page, rng)
            if first is None and time.monotonic() - begun > SETTLED * 60 * minutes:
                first = memory(port)
        grown = None if first is None else memory(port) - first
        browser.close()
    return spent, grown


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.pointer", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--model", default="toybox-hyper", help="an id of the catalogue")
    p.add_argument("--strokes", type=int, default=40)
    p.add_argument("--minutes", type=float, default=0.0, help="of scribbling, for the memory")
    p.add_argument("--out", type=Path, default=RESULTS / "pointer.json")
    args = p.parse_args(argv)
    where = {"model": args.model, "device": f"{platform.machine()} CPU", "cores": len(os.sched_getaffinity(0))}
    try:
        with tempfile.TemporaryDirectory() as studio, app(Path(studio)) as (address, *_):
            spent, grown = measure(address, args.model, args.strokes, args.minutes)
    except ValueError as e:
        print(f"benchmarks.pointer: {e}", file=sys.stderr)
        return 2
    shares = {"p50": statistics.median(spent), "p95": percentile(spent, 0.95), "n": len(spent)}
    rows: list[Row] = [where | {"measure": "end of a stroke to picture", **shares, "unit": "ms", "target": "≤ 100"}]
    if grown is not None:
        name = f"growth in {SETTLED * args.minutes:g} min"
        rows.append(where | {"measure": name, "p50": grown, "unit": "MiB", "target": "0"})
    record(args.out, rows, KEYS)
    print(markdown(rows, ["model", "device", "cores", "measure", "p50", "p95", "unit", "target"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
