"""How many toys are drawn in a second of one core: scene, picture and captions, as trainings ask for them.

    python -m benchmarks.drawing [--pictures 400]

Counted in processor time of all threads, so a library that spreads over cores gains nothing, and a busy computer costs
little. A first set that doesn't count bakes the meshes, which happens once in a process.
"""

import argparse
import platform
import sys
import time
from pathlib import Path

from benchmarks.latency import KEYS, table
from benchmarks.report import RESULTS, Row, publish, record
from distill.data.toys import Toys

TARGET = 40  # a second


def seconds(toys: Toys) -> float:
    """Of one core, to draw them all."""
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
