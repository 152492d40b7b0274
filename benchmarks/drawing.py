"""The speed of drawing toys, in a second of one core: scene, picture and captions, as in trainings.

    python -m benchmarks.drawing [--pictures 400]

Time is the processor time of all threads, so that a library with threads gains nothing and a busy computer matters
little. A first set, which is not timed, bakes the meshes, as that happens once in a process.
"""

import argparse
import platform
import sys
import time
from pathlib import Path

from benchmarks.latency import KEYS, table
from benchmarks.report import RESULTS, Row, publish, record
from distill.data.toys import Toys

TARGET = 40  # toys in a second


def seconds(toys: Toys) -> float:
    """The seconds of one core to draw them all."""
    start = time.process_time()
    for index in range(len(toys)):
        toys[index]
    return time.process_time() - start


def row(pictures: int) -> Row:
    where = {"model": None, "device": f"{platform.machine()} CPU", "threads": 1, "batch": 1}
    seconds(Toys(seed=1, size=pictures))
    value = pictures / seconds(Toys(seed=0, size=pictures))
    return {"measure": "toys drawn a second", **where, "value": value, "unit": "1/s", "target": f"≥ {TARGET}"}


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.drawing", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--pictures", type=int, default=400)
    p.add_argument("--out", type=Path, default=RESULTS / "latency.json")
    args = p.parse_args(argv)
    new = [row(args.pictures)]
    rows = record(args.out, new, KEYS)
    if args.out.parent == RESULTS:
        publish("latency", table(rows))
    print(table(new))
    return 0


if __name__ == "__main__":
    sys.exit(main())
