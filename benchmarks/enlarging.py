"""The quality of enlargers: how near they come to their teacher, on pictures of the box that were not trained on.

    python -m benchmarks.enlarging [ID …] [--pictures 60] [--sheet docs/methods/enlarge.png]

Figures: decibels against Real-ESRGAN's pictures; the share of its gain in sharpness (mean squared differences of
neighbouring pixels) over Lanczos; milliseconds for a picture on one thread, in turns. It needs the packages of
requirements-enlarge.txt.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.report import markdown
from core.paths import cache as cache_dir
from core.paths import use_studio
from distill.data import cache
from distill.data.painted import Painted
from models import catalogue, enlarge, realesrgan

Enlarges = Callable[[np.ndarray], np.ndarray]
LANCZOS = "Lanczos"
SHOWN = (3, 10, 22, 31)  # pictures of the sheet


def lanczos(picture: np.ndarray) -> np.ndarray:
    side = picture.shape[0] * enlarge.MOST
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


def contenders(ids: list[str]) -> dict[str, Enlarges]:
    by = {id: lambda p, id=id: np.asarray(enlarge.enlarged(Image.fromarray(p), enlarge.MOST, id)) for id in ids}
    return {LANCZOS: lanczos, **by}


def decibels(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(a.astype(float) - b).mean()))


def crispness(a: np.ndarray) -> float:
    x = a.astype(float)
    return float(np.square(np.diff(x, axis=0)).mean() + np.square(np.diff(x, axis=1)).mean())


def measured(pictures: list[np.ndarray], answers: list[np.ndarray], by: dict[str, Enlarges]) -> list[dict]:
    near: dict[str, list[float]] = {name: [] for name in by}
    crisp: dict[str, list[float]] = {name: [] for name in by}
    ms: dict[str, list[float]] = {name: [] for name in by}
    for picture, answer in zip(pictures, answers, strict=True):
        for name, work in by.items():
            begun = time.perf_counter()
            made = work(picture)
            ms[name].append(1000 * (time.perf_counter() - begun))
            near[name].append(decibels(made, answer))
            crisp[name].append(crispness(made))
    floor, top = statistics.mean(crisp[LANCZOS]), statistics.mean(map(crispness, answers))
    rows = []
    for name in by:
        row = {"enlarger": name, "parameters": 0 if name == LANCZOS else catalogue.get(name).manifest.parameters}
        gain = (statistics.mean(crisp[name]) - floor) / (top - floor)
        row |= {"dB": round(statistics.mean(near[name]), 2), "gain": f"{100 * gain:.0f} %"}
        rows.append(row | {"ms": round(statistics.median(ms[name]), 1)})
    return rows


def sheet(pictures: list[np.ndarray], answers: list[np.ndarray], by: dict[str, Enlarges], path: Path) -> None:
    """Draw a sheet with a row for each picture: each contender, then the teacher."""
    rows = [[*(work(pictures[i]) for work in by.values()), answers[i]] for i in SHOWN if i < len(pictures)]
    Image.fromarray(np.concatenate([np.concatenate(row, 1) for row in rows])).save(path, quality=90)


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(
        "benchmarks.enlarging", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    p.add_argument("ids", nargs="*", default=[enlarge.ENLARGER], help="enlargers of the box or the studio")
    p.add_argument("--pictures", type=int, default=60, help="how many are looked at, at most 100")
    p.add_argument("--sheet", type=Path, help="a picture of some of them, side by side")
    args = p.parse_args(argv)
    use_studio()
    torch.set_num_threads(1)
    held = Painted("held_out")
    try:
        pictures = list(cache.draw(held, cache_dir()).arrays[0][: args.pictures])
        made = cache.answers(held, cache_dir(), realesrgan.NAME, "enlarging", realesrgan.enlarge)
        answers, by = list(made.arrays[0][: args.pictures]), contenders(args.ids)
        print(markdown(measured(pictures, answers, by), ["enlarger", "parameters", "dB", "gain", "ms"]))
    except ValueError as e:
        print(f"benchmarks.enlarging: {e}", file=sys.stderr)
        return 2
    if args.sheet:
        sheet(pictures, answers, by, args.sheet)
    return 0


if __name__ == "__main__":
    sys.exit(main())
