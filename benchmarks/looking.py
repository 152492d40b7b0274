"""From a click on Look to cells on Inspect, decoded in a real browser: the first and the whole grid, both back ends.

    python -m benchmarks.looking [--models toybox-sd:8,toybox-hyper:4,toybox-dmd2:4,toybox-lcm:4] [--rounds 5]

One app.py for each back end; they take turns at grids of four seeds, each of another prompt, so that a busy computer is
unfair to both alike. Models are loaded by a grid before. `processor` is what the server spent on a grid, of all cores:
no other program makes it longer.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.keystroke import CHROMIUM, FLAGS, app
from benchmarks.report import RESULTS, Row, markdown, publish, record
from models.openvino import BACKENDS

KEYS = ("measure", "backend", "device", "cores")
SEEDS = 4
WHOLE = "n => document.querySelectorAll('.sl-look-cell').length === n && document.querySelector('.sl-look-plot')"
LOOK = """async ([prompt, cells]) => {
    const sheet = document.querySelector(".sl-look"), before = sheet.querySelector(".sl-look-cell");
    const moment = () => new Promise((done) => setTimeout(done, 2));
    document.querySelector("#inspect-prompt").value = prompt;
    const since = performance.now();
    document.querySelector("#inspect-go").click();
    while (before.isConnected) await moment();
    await sheet.querySelector(".sl-look-cell img").decode();
    const first = performance.now() - since;
    while (sheet.querySelectorAll(".sl-look-cell").length < cells) await moment();
    await Promise.all([...sheet.querySelectorAll("img")].map((image) => image.decode()));
    return [first, performance.now() - since];
}"""


def spent(pid: int) -> float:
    """Processor milliseconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(models: str, rounds: int) -> tuple[dict[str, dict[str, list[float]]], int]:
    """Milliseconds of each measure by each back end, a round each; and how many cells a grid has."""
    from playwright.sync_api import sync_playwright

    cells = SEEDS * sum(int(model.partition(":")[2]) for model in models.split(","))
    query = {"prompt": "a mug", "seeds": SEEDS, "models": models}
    pages: dict[str, tuple[Any, int]] = {}
    times: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        browser = stack.enter_context(sync_playwright()).chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for backend in ("torch", "openvino"):
            assert backend in BACKENDS
            studio = stack.enter_context(tempfile.TemporaryDirectory())
            address, _, pid = stack.enter_context(app(Path(studio), "--backend", backend))
            page = browser.new_page(viewport={"width": 1400, "height": 1100})
            page.set_default_timeout(600_000)
            page.goto(f"{address}inspect?{urlencode(query)}")
            page.wait_for_function(WHOLE, arg=cells)
            pages[backend], times[backend] = (page, pid), {"first cell": [], "whole grid": [], "processor": []}
        for k in range(rounds):
            for backend, (page, pid) in pages.items():
                before = spent(pid)
                first, whole = page.evaluate(LOOK, [f"a mug, number {k}", cells])
                page.wait_for_function(WHOLE, arg=cells)
                for name, ms in (("first cell", first), ("whole grid", whole), ("processor", spent(pid) - before)):
                    times[backend][name].append(ms)
        browser.close()
    return times, cells


def rows_of(times: dict[str, dict[str, list[float]]], cells: int) -> list[Row]:
    where = {"device": f"{platform.machine()} CPU", "cores": len(os.sched_getaffinity(0)), "cells": cells}
    targets = {("first cell", "torch"): 150, ("first cell", "openvino"): 150}
    targets |= {("whole grid", "torch"): 6000, ("whole grid", "openvino"): 3000}
    rows: list[Row] = []
    for backend, by in times.items():
        for name, ms in by.items():
            figures = {"median": statistics.median(ms), "least": min(ms), "unit": "ms"}
            rows.append(where | {"measure": name, "backend": backend} | figures | {"aim": targets.get((name, backend))})
    return rows


def table(rows: list[Row]) -> str:
    return markdown(rows, ["measure", "backend", "device", "cores", "cells", "median", "least", "aim", "unit"])


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.looking", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--models", default="toybox-sd:8,toybox-hyper:4,toybox-dmd2:4,toybox-lcm:4", help="id:steps, …")
    p.add_argument("--rounds", type=int, default=5, help="grids by each back end")
    p.add_argument("--out", type=Path, default=RESULTS / "looking.json")
    args = p.parse_args(argv)
    try:
        rows = rows_of(*measure(args.models, args.rounds))
    except ValueError as e:
        print(f"benchmarks.looking: {e}", file=sys.stderr)
        return 2
    all_rows = record(args.out, rows, KEYS)
    if args.out.parent == RESULTS:
        publish("looking", table(all_rows))
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
