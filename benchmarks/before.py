"""This code beside an older commit's: the time of a picture, of its network and of a wall, and the peak memory.

    python -m benchmarks.before d4101e6 [--models toybox-sprint:1 toybox-sana:20] [--threads 1] [--repeats 15]

The older commit is checked out beside this one for the run. Each contender is a process with its model loaded, and all
paint in turns; `share` is a contender's median divided by the older commit's. Rows go to results/before.json.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import report
from models.precision import HALF, SINGLE, precisions

KEYS = ("model", "steps", "contender", "measure", "threads")
MODELS = ("toybox-sprint:1", "toybox-sprint:4", "toybox-sana:20", "toybox-hyper:1", "toybox-sd:25")
WALL, PROMPT = 9, "a red mushroom on a blue background"
WORKER = """
import json, sys, time
import torch
torch.set_num_threads(int(sys.argv[1]))
from models import catalogue, families
from models.generate import Image, generate
from models.request import ImageRequest
id, how = sys.argv[2], json.loads(sys.argv[3])
parts = families.load(catalogue.get(id), **how)
for line in sys.stdin:
    request = ImageRequest(model=id, **json.loads(line))
    begun = time.perf_counter()
    images = [e for e in generate(parts, request) if isinstance(e, Image)]
    spent = {"ms": 1000 * (time.perf_counter() - begun), "network": images[-1].denoise_ms}
    status = open("/proc/self/status").read().split("VmHWM:")[1].split()[0]
    print(json.dumps(spent | {"gib": int(status) / 2**20}), flush=True)
"""
AIMS = {  # share of the older commit's time, at most
    ("picture", SINGLE): 0.70,
    ("picture", HALF): 0.5,
    ("wall of nine", SINGLE): 0.9,
    ("wall of nine", HALF): 0.5,
    ("memory", SINGLE): 1.5,
    ("memory", HALF): 1.5,
}


@contextmanager
def tree(commit: str) -> Iterator[Path]:
    """Within: a folder with the files of this commit."""
    with TemporaryDirectory() as home:
        folder = Path(home) / "code"
        subprocess.run(["git", "worktree", "add", "--detach", "-f", folder, commit], check=True, capture_output=True)
        try:
            yield folder
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", folder], check=True, capture_output=True)


class Contender:
    """A process of one tree's code, with a model loaded."""

    def __init__(self, folder: Path, id: str, threads: int, **how: str):
        command = [sys.executable, "-c", WORKER, str(threads), id, json.dumps(how)]
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(
            command, cwd=folder, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )

    def paint(self, **fields: Any) -> dict[str, float]:
        assert self.child.stdin is not None and self.child.stdout is not None
        print(json.dumps({"prompt": PROMPT} | fields), file=self.child.stdin, flush=True)
        if not (line := self.child.stdout.readline()):
            raise ValueError("one of the contenders could not paint")
        return json.loads(line)

    def __enter__(self) -> "Contender":
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()
        self.child.wait()


def rows(older: Path, id: str, steps: int, threads: int, repeats: int) -> list[report.Row]:
    ways: dict[str, dict[str, str]] = {SINGLE: {"backend": "openvino"}}
    if HALF in precisions():
        ways[HALF] = {"backend": "openvino", "precision": HALF}
    spent: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        here = report.ROOT
        of = {"before": stack.enter_context(Contender(older, id, threads))}
        of |= {name: stack.enter_context(Contender(here, id, threads, **how)) for name, how in ways.items()}
        for k in range(repeats + 1):
            for name, contender in of.items():
                more = {"precision": HALF} if name == HALF else {}
                one = contender.paint(steps=steps, seed=k, **more)
                figures = {"picture": one["ms"], "network": one["network"]}
                if k <= max(3, repeats // 4):
                    wall = contender.paint(steps=steps, seed=k, num_images=WALL, **more)
                    figures |= {"wall of nine": wall["ms"], "memory": wall["gib"]}
                for measure, value in figures.items() if k else ():
                    spent.setdefault((name, measure), []).append(value)
    out = []
    for (name, measure), values in spent.items():
        place = {"model": id, "steps": steps, "contender": name, "measure": measure, "threads": threads}
        value, unit = statistics.median(values), "GiB" if measure == "memory" else "ms"
        share = value / statistics.median(spent["before", measure])
        figures = {"value": float(f"{value:.3g}"), "unit": unit, "share": float(f"{share:.3g}")}
        out.append(place | figures | {"aim": aim(id, steps, measure, name), "n": len(values)})
    return out


def aim(id: str, steps: int, measure: str, contender: str) -> float | None:
    if measure == "network" and contender == SINGLE:  # a student's, and a teacher's with guidance
        return 0.5 if steps <= 4 else 0.75
    return AIMS.get((measure, contender)) if steps == 1 or measure in ("wall of nine", "memory") else None


def table(known: Sequence[report.Row]) -> str:
    columns = ("model", "steps", "threads", "measure", "contender", "value", "unit", "share", "aim")
    order = sorted(known, key=lambda r: (r["model"], r["steps"], r["threads"], r["measure"]))
    return report.markdown(order, columns, (*columns[:-2], "share of before", "aim, at most"))


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.before", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("commit", help="the older commit")
    p.add_argument("--models", nargs="+", default=list(MODELS), help="MODEL:STEPS")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--repeats", type=int, default=15)
    args = p.parse_args(argv)
    try:
        with tree(args.commit) as older:
            for entry in args.models:
                id, _, steps = entry.partition(":")
                new = rows(older, id, int(steps), args.threads, args.repeats)
                known = report.record(report.RESULTS / "before.json", new, KEYS)
                report.publish("before", table(known))
                print(table(new))
    except (ValueError, subprocess.CalledProcessError) as e:
        print(f"benchmarks.before: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
