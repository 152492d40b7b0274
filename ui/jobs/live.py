"""The live view of a run: curves, samples, speed and the end of its log.

A run's `events.jsonl` is read once, and each call reads on from there. A run is not trusted: values that are no numbers
are skipped, and pictures are opened like uploaded ones.
"""

import io
import re
import threading
from collections import deque
from pathlib import Path
from typing import Any

from PIL.Image import Image
from PIL.Image import new as new_image

from core.events import FILE, resumed_from
from core.files import LRU
from jobs.attempt import LOG, Tail
from models.picture import open_png
from ui.wire import data_url

POINTS = 240  # most points of a curve; each is a mean of neighbours
MOST_CURVES, MOST_RUNS = 40, 16
LOG_BYTES, LOG_LINES = 32_000, 200
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


class Run:
    """The events of a run folder that were read so far."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.tail = Tail(folder / FILE)
        self.tail.offset = 0
        self.series: dict[str, list[tuple[int, float]]] = {}
        self.stage: Any = None
        self.samples: list[tuple[int, str]] = []
        self.pace: deque[tuple[float, int]] = deque(maxlen=12)  # (time, step) of this attempt's last events

    def read(self) -> None:
        while events := self.tail.read():
            for event in events:
                self._hear(event)

    def _hear(self, event: dict[str, Any]) -> None:
        step = event.get("step")
        if (resumed := resumed_from(event)) is not None:
            self._forget(resumed)
        if not isinstance(step, int):
            return
        if event["kind"] == "progress" and event.get("stage") != self.stage:
            self.stage = event.get("stage")
            self.pace.clear()
        if event["kind"] == "progress" and isinstance(event.get("time"), (int, float)):
            self.pace.append((event["time"], step))
        if event["kind"] == "metric" and isinstance(event.get("values"), dict):
            for name, value in event["values"].items():
                if isinstance(value, (int, float)) and (name in self.series or len(self.series) < MOST_CURVES):
                    self.series.setdefault(name, []).append((step, value))
        if event["kind"] == "sample" and isinstance(event.get("path"), str):
            self.samples.append((step, event["path"]))

    def _forget(self, beyond: int) -> None:
        """Drop points beyond the step from which the run resumed."""
        self.series = {k: [p for p in points if p[0] <= beyond] for k, points in self.series.items()}
        self.samples = [s for s in self.samples if s[0] <= beyond]
        self.pace.clear()

    def curves(self) -> list[dict[str, Any]]:
        """One plot for each quantity, such as loss, with a line for each player."""
        plots: dict[str, list[dict[str, Any]]] = {}
        for name, points in self.series.items():
            player, _, quantity = name.rpartition("/")
            plots.setdefault(quantity, []).append({"name": player or quantity, "points": thinned(points)})
        return [{"quantity": q, "lines": plots[q]} for q in sorted(plots, key=lambda q: (q != "loss", q))]

    def speed(self) -> float | None:
        """Steps in a second, over about the last minute."""
        if len(self.pace) < 2:
            return None
        (t0, first), (t1, last) = self.pace[0], self.pace[-1]
        return (last - first) / (t1 - t0) if t1 > t0 and last > first else None

    def sample(self, step: int | None) -> dict[str, Any] | None:
        """The sample grid of a step (None: the newest) as a data URL; None where there is none. Raises ValueError."""
        paths = [path for at, path in self.samples if step is None or at == step]
        if not paths:
            return None
        path = (self.folder / paths[-1]).resolve()
        if not path.is_relative_to(self.folder.resolve()) or not path.is_file():
            raise ValueError("the sample is no longer there")
        out, grid = io.BytesIO(), folded(open_png(path.read_bytes()).convert("RGB"))
        grid.save(out, "WEBP", quality=90)
        size = {"width": grid.width, "height": grid.height}
        return {"src": data_url(out.getvalue(), "webp"), "step": step or self.samples[-1][0]} | size


class Live:
    """The runs that pages show; the least recently used is dropped."""

    def __init__(self) -> None:
        self._runs: LRU[Path, Run] = LRU(MOST_RUNS)
        self._lock = threading.Lock()

    def look(self, folder: Path, seen: int) -> dict[str, Any]:
        """The news since `seen`, a value of the answer before; curves only where they changed."""
        with self._lock:
            run = self._run(folder)
            out: dict[str, Any] = {"seen": run.tail.offset, "speed": run.speed()}
            if run.tail.offset != seen:
                out |= {"curves": run.curves(), "samples": sorted({step for step, _ in run.samples})}
            return out

    def sample(self, folder: Path, step: int | None) -> dict[str, Any]:
        with self._lock:
            return self._run(folder).sample(step) or {}

    def _run(self, folder: Path) -> Run:
        if (run := self._runs.get(folder)) is None:
            self._runs.put(folder, run := Run(folder))
        run.read()
        return run


def folded(grid: Image) -> Image:
    """A sheet of square pictures with eight in a row, rearranged to four in a row where it is a strip."""
    side, half = grid.width // 8, grid.width // 2
    if grid.width % 8 or grid.width < 4 * grid.height or grid.height % side:
        return grid
    out = new_image("RGB", (half, 2 * grid.height))
    for y in range(0, grid.height, side):
        for x in (0, half):
            out.paste(grid.crop((x, y, x + half, y + side)), (0, 2 * y + (side if x else 0)))
    return out


def thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most POINTS points: means of neighbours, each at its last step."""
    width = -(-len(points) // POINTS)
    groups = (points[i : i + width] for i in range(0, len(points), width))
    return [(g[-1][0], float(f"{sum(v for _, v in g) / len(g):.5g}")) for g in groups]


def log_end(folder: Path) -> str:
    """The last lines of a job's log, as plain text."""
    path = folder / LOG
    if not path.exists():
        return ""
    with path.open("rb") as f:
        f.seek(max(0, path.stat().st_size - LOG_BYTES))
        text = f.read(LOG_BYTES).decode("utf-8", "replace")
    lines = (ESCAPES.sub("", line.rpartition("\r")[2]) for line in text.split("\n"))
    return "\n".join(list(lines)[-LOG_LINES:]).strip("\n")
