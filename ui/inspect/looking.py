"""The grid of one open page: a thread runs the lanes one after the other, and the page fetches cells as they come."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from models.request import ImageRequest
from ui.wire import data_url

if TYPE_CHECKING:
    from models.engine import Engine
    from models.trajectory import Lane, Run, Seen

MOST_LANES, MOST_CELLS = 16, 640


class Looking:
    """A grid in the making. Its thread imports torch, so that the page does not wait for it."""

    def __init__(self, engine: "Engine", lanes: "Sequence[Lane]", view: str):
        self.engine, self.view = engine, view
        self.runs: list[Run] = []
        self.cells: list[dict[str, Any]] = []
        self.error: str | None = None
        self._waiting: list[Lane] = list(lanes)
        self._parents: dict[int, dict[str, int]] = {}  # the cell that a branch starts from, by the branch's lane
        self._news, self._stopped = threading.Condition(), False
        self._working = False
        self._start()

    def add(self, lane: "Lane", parent: dict[str, int]) -> int:
        """Add a row that starts from a cell. Returns its lane."""
        with self._news:
            number = len(self.runs) + len(self._waiting)
            if number >= MOST_LANES:
                raise ValueError(f"a grid holds at most {MOST_LANES} rows of models; press Look for a new one")
            self._waiting.append(lane)
            self._parents[number] = parent
            self._stopped = False
        self._start()
        return number

    def stop(self) -> None:
        """Stop after the current step."""
        with self._news:
            self._stopped = True
            self._waiting.clear()

    def news(self, after: int, seconds: float) -> dict[str, Any]:
        """Cells from number `after` on, as soon as there are any, and after so many seconds at the latest."""
        from models.trajectory import columns

        with self._news:
            self._news.wait_for(lambda: len(self.cells) > after or not self._working, seconds)
            cells, working = self.cells[after:], self._working
            runs = [run for run in self.runs if run.steps]
        steps = [[run.steps[i][0].log_snr for i in sorted(run.steps)] for run in runs]
        return {
            "cells": cells,
            "columns": columns(steps) if steps else [],
            "log_snr": max(steps, key=len) if steps else [],
            "lanes": [self._lane(run, working) | {"parent": self._parents.get(n)} for n, run in enumerate(runs)],
            "working": working,
            "failure": self.error,
        }

    def show(self, view: str) -> list[dict[str, Any]]:
        """Every cell in another of VIEWS."""
        from models.trajectory import Seen

        self.view = view
        with self._news:
            runs = list(self.runs)
        out = []
        for n, run in enumerate(runs):
            with self.engine.crew(run.lane.request.models()) as crew:
                before: dict[int, Any] = {}
                for i in sorted(run.steps):
                    for step in run.steps[i]:
                        out += self._drawn(run, Seen(n, step, before.get(step.first)), crew)
                        before[step.first] = step
        with self._news:
            self.cells = out
        return out

    def step(self, lane: int, picture: int, i: int) -> "tuple[ImageRequest, Any]":
        """The request of a row, and its step i. Raises ValueError where that step was not taken."""
        if not 0 <= lane < len(self.runs):
            raise ValueError("this row is no longer in the grid; press Look")
        run = self.runs[lane]
        batch = next((s for s in run.steps.get(i, []) if 0 <= picture - s.first < len(s.x0)), None)
        if batch is None:
            raise ValueError(f"step {i} of this picture has not been taken")
        return run.lane.request, batch

    def _start(self) -> None:
        with self._news:
            if self._working or not self._waiting:
                return
            self._working = True
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        try:
            while True:
                with self._news:
                    if not self._waiting:
                        return
                    lane = self._waiting.pop(0)
                self._run(lane)
        except (ValueError, MemoryError, OSError) as e:
            with self._news:
                self.error = str(e) or "memory ran out"
                self._waiting.clear()
        finally:
            with self._news:
                self._working = False
                self._news.notify_all()

    def _run(self, lane: "Lane") -> None:
        from models.trajectory import Run, look

        run, number = Run(lane, {}), len(self.runs)
        with self.engine.crew(lane.request.models()) as crew:
            self.runs.append(run)
            for seen in look([lane], crew):
                run.steps.setdefault(seen.step.i, []).append(seen.step)
                cells = self._drawn(run, type(seen)(number, seen.step, seen.before), crew)
                with self._news:
                    self.cells += cells
                    self._news.notify_all()
                    if self._stopped or len(self.cells) >= MOST_CELLS:
                        return

    def _drawn(self, run: "Run", seen: "Seen", crew: Any) -> list[dict[str, Any]]:
        from PIL.Image import fromarray

        from models.strips import png
        from models.trajectory import shown

        request, step = run.lane.request, seen.step
        pixels = shown(crew[request.model], request, seen, self.view).permute(0, 2, 3, 1).numpy()
        facts = {"lane": seen.lane, "step": step.i, "t": step.t, "log_snr": step.log_snr, "model": step.painter}
        return [
            facts | {"picture": step.first + k, "src": data_url(png(fromarray(one)), "png")}
            for k, one in enumerate(pixels)
        ]

    def _lane(self, run: "Run", working: bool) -> dict[str, Any]:
        from models.trajectory import commitment, decided, spread

        request = run.lane.request
        whole = not (working and run is self.runs[-1]) and len({len(b) for b in run.steps.values()}) == 1
        steps = run.whole() if whole else []
        committed, different = (commitment(steps), spread(steps)) if steps else (None, None)
        return {
            "label": run.lane.label,
            "request": request.to_dict(),
            "seeds": request.seeds(),
            "commitment": committed and vars(committed),
            "decided": committed and decided(committed),
            "spread": different and vars(different),
        }
