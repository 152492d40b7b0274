"""Where the time of a run of text to 3D goes: teacher, score network, autoencoder, renders, and steps on rays.

    python -m benchmarks.threed_split [--mode pool --mode vsd] [--rounds 14]

Core-seconds of one thread, for one thing, after a first round that warms up. The rest is the cutting out of targets and
bookkeeping. `ray steps a second` are those of the fit alone. Also prints the greatest memory of the process.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from threed import rounds
from threed.request import PRESETS, ThreeDRequest
from threed.run import prepared
from threed.score import ScoreNetwork
from threed.teacher import Teacher

PARTS = {
    "teacher": [(Teacher, "__call__")],
    "score": [(ScoreNetwork, "__call__"), (ScoreNetwork, "learn")],
    "autoencoder": [(Teacher, "encode"), (Teacher, "decode")],
    "renders": [(rounds, "rendered")],
    "rays": [(rounds, "fit")],
}


def timed(function: Callable, spent: dict[str, float], part: str) -> Callable:
    def call(*args: Any, **named: Any) -> Any:
        begun = time.process_time()
        try:
            return function(*args, **named)
        finally:
            spent[part] += time.process_time() - begun

    return call


def split(mode: str, number: int) -> dict[str, float]:
    """The seconds of each part, and of all, over so many rounds."""
    making = prepared(ThreeDRequest("a blue mug", mode=mode, rounds=number + 1, seeds=1), "fp32")
    making.advance()
    spent = dict.fromkeys(PARTS, 0.0)
    own = [(where, name, getattr(where, name), part) for part, places in PARTS.items() for where, name in places]
    for where, name, function, part in own:
        setattr(where, name, timed(function, spent, part))
    begun = time.process_time()
    try:
        for _ in range(number):
            making.advance()
    finally:
        for where, name, function, _ in own:
            setattr(where, name, function)
    return spent | {"all": time.process_time() - begun}


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.threed_split", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--mode", action="append", help="a mode; may be repeated")
    p.add_argument("--rounds", type=int, default=14)
    args = p.parse_args(argv)
    torch.set_num_threads(1)
    for mode in args.mode or ("pool", "vsd"):
        seconds = split(mode, args.rounds)
        shares = ", ".join(f"{k} {100 * v / seconds['all']:.0f} %" for k, v in seconds.items() if k != "all")
        steps = PRESETS["draft"].rays * args.rounds
        print(f"{mode}: {args.rounds / seconds['all']:.2f} rounds a second, {steps / seconds['rays']:.0f} ray steps a")
        print(f"  second; {shares}")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
