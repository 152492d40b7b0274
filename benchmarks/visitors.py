"""Several visitors at once, each of whom asks for one picture after another: painted together, and one by one.

    python -m benchmarks.visitors [--models toybox-hyper:2 …] [--visitors 1 2 4] [--seconds 6] [--backend auto]

`together` and `alone` are pictures a second of all visitors, `gain` their ratio, and `wait` is the mean time from a
request to its picture, painted together, by that painted alone. Both are measured in turns, in one process, with as
many threads as torch has. Alone: no request is held to be like another. Rows go to results/visitors.json.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable
from unittest.mock import patch

from benchmarks import report
from core.paths import use_studio
from models import openvino, queues
from models.engine import Engine
from models.request import ImageRequest

KEYS = ("model", "steps", "visitors", "backend")
MODELS = ("toybox-hyper:2", "toybox-sprint:1", "toybox-disback:1")
COLOURS = ("red", "blue", "green", "yellow", "purple", "orange", "white", "pink")
TURNS = 3


def visit(engine: Engine, ask: Callable[[int], ImageRequest], until: float, waits: list[float], k: int) -> None:
    while (begun := time.monotonic()) < until:
        for _ in engine.generate(ask(k)):
            pass
        waits.append(time.monotonic() - begun)
        k += len(COLOURS)


def served(engine: Engine, ask: Callable[[int], ImageRequest], visitors: int, seconds: float) -> list[float]:
    """How long each picture took, of all visitors in so many seconds."""
    waits: list[float] = []
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=visit, args=(engine, ask, until, waits, k)) for k in range(visitors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return waits


def measured(engine: Engine, id: str, steps: int, visitors: int, seconds: float) -> report.Row:
    def ask(k: int) -> ImageRequest:
        return ImageRequest(f"a {COLOURS[k % len(COLOURS)]} ball", model=id, steps=steps, seed=k)

    for _ in engine.generate(ask(0)):
        pass
    openvino.settled()
    waits: dict[str, list[float]] = {"together": [], "alone": []}
    for _ in range(TURNS):
        waits["together"] += served(engine, ask, visitors, seconds / TURNS)
        with patch.object(queues, "alike", lambda a, b: False):
            waits["alone"] += served(engine, ask, visitors, seconds / TURNS)
    pace = {way: len(each) / seconds for way, each in waits.items()}
    mean = {way: sum(each) / len(each) for way, each in waits.items()}
    row = {"model": id, "steps": steps, "visitors": visitors, "backend": engine.backend}
    row |= {way: round(value, 1) for way, value in pace.items()} | {"gain": round(pace["together"] / pace["alone"], 2)}
    return row | {"wait": round(mean["together"] / mean["alone"], 2)}


def table(rows: list[report.Row]) -> str:
    return report.markdown(rows, [*KEYS, "together", "alone", "gain", "wait"])


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.visitors", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--models", nargs="+", default=list(MODELS), help="ids with step counts, id:steps")
    p.add_argument("--visitors", nargs="+", type=int, default=[1, 2, 4])
    p.add_argument("--seconds", type=float, default=6.0, help="for each way")
    p.add_argument("--backend", default="auto", help=", ".join(openvino.BACKENDS))
    p.add_argument("--studio", help="the studio folder")
    args = p.parse_args(argv)
    use_studio(args.studio)
    engine, rows = Engine("cpu", backend=args.backend), []
    for entry in args.models:
        id, _, steps = entry.partition(":")
        for visitors in args.visitors:
            rows.append(measured(engine, id, int(steps), visitors, args.seconds))
            print(rows[-1], flush=True)
    report.publish("visitors", table(report.record(report.RESULTS / "visitors.json", rows, KEYS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
