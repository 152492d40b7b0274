"""The grid of one open page: a thread runs the lanes one after the other, and the page fetches cells as they come."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from models.request import ImageRequest
from ui.wire import data_url

if TYPE_CHECKING:
    from models.engine import Engine
    from models.lanes import Lane
    from models.trajectory import Run, Seen

MOST_LANES, MOST_CELLS = 16, 640
PATIENCE = 15.0  # seconds after which a grid that no page asks after stops
GATHER = 0.1  # seconds for which cells are collected; the first is told of at once


class Looking:
    """A grid in the making. Its thread imports torch, so that the page does not wait for it.

    `cells` is a log that a page reads on from where it stopped. A cell that is drawn again is appended again, and the
    log has None in its old place.
    """

    def __init__(self, engine: "Engine", lanes: "Sequence[Lane]", view: str):
        self.engine, self.view = engine, view
        self.runs: list[Run] = []
        self.cells: list[dict[str, Any] | None] = []
        self._waiting: list[Lane] = list(lanes)
        self._parents: dict[int, dict[str, int]] = {}  # the cell that a branch starts from, by the branch's lane
        self._news, self._working = threading.Condition(), False
        self._redraw = False  # whether the cells must be drawn again in another view
        self._start()

    def add(self, lane: "Lane", parent: dict[str, int]) -> int:
        """Add a row that starts from a cell. Returns its lane."""
        with self._news:
            number = len(self.runs) + len(self._waiting)
            if number >= MOST_LANES:
                raise ValueError(f"a grid holds at most {MOST_LANES} rows of models; press Look for a new one")
            self._waiting.append(lane)
            self._parents[number] = parent
            self._start()
        return number

    def show(self, view: str) -> None:
        """Every cell as another of VIEWS, as news. What an earlier call has not drawn yet is dropped."""
        with self._news:
            self.view, self._redraw = view, bool(self.runs)
            self.cells = [None for _ in self.cells]
            self._start()

    def stop(self) -> None:
        """Stop after the current step."""
        with self._news:
            self._stopped, self._redraw = True, False
            self._waiting.clear()

    def news(self, after: int, seconds: float) -> dict[str, Any]:
        """Cells from number `after` on, as soon as there are any, and after so many seconds at the latest."""
        from models.trajectory import columns

        with self._news:
            self._read = time.monotonic()
            self._news.wait_for(lambda: len(self.cells) > after or not self._working, seconds)
            if after:
                self._news.wait_for(lambda: not self._working, GATHER)
            cells, working = [cell for cell in self.cells[after:] if cell], self._working
            runs, read = [run for run in self.runs if run.steps], len(self.cells)
        steps = [[run.steps[i][0].log_snr for i in sorted(run.steps)] for run in runs]
        return {
            "cells": cells,
            "after": read,
            "columns": columns(steps) if steps else [],
            "log_snr": max(steps, key=len) if steps else [],
            "lanes": [self._lane(run, working) | {"parent": self._parents.get(n)} for n, run in enumerate(runs)],
            "working": working,
            "failure": self.error,
        }

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
        """Whoever calls it has the lock."""
        self._stopped, self._read = False, time.monotonic()
        self.error: str | None = None
        if not self._working and (self._waiting or self._redraw):
            self._working = True
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        try:
            while (task := self._next()) is not None:
                task()
        except (ValueError, MemoryError, OSError) as e:
            self._end(str(e) or "memory ran out")

    def _next(self) -> "Callable[[], None] | None":
        """What to do now. None: nothing, and the thread is gone for whoever has the lock next."""
        with self._news:
            if self._redraw:
                self._redraw = False
                return self._again
            if self._waiting:
                return partial(self._run, self._waiting.pop(0))
            self._end()
            return None

    def _end(self, error: str | None = None) -> None:
        with self._news:
            self.error = error or self.error
            self._working = self._redraw = False
            self._waiting.clear()
            self._news.notify_all()

    def _run(self, lane: "Lane") -> None:
        from models.trajectory import Run, look

        run, number = Run(lane, {}), len(self.runs)
        with self.engine.crew(lane.request.models()) as crew:
            self.runs.append(run)
            for seen in look([lane], crew):
                run.steps.setdefault(seen.step.i, []).append(seen.step)
                for cell in self._drawn(run, type(seen)(number, seen.step, seen.before), crew):
                    self._say(cell)
                if self._enough():
                    return

    def _again(self) -> None:
        """Steps that were taken, as the view of now."""
        from models.trajectory import Seen

        for n, run in enumerate(list(self.runs)):
            before: dict[int, Any] = {}
            for i in sorted(run.steps):
                for step in run.steps[i]:
                    with self.engine.crew(run.lane.request.models()) as crew:
                        for cell in self._drawn(run, Seen(n, step, before.get(step.first)), crew):
                            self._say(cell)
                    if self._enough() or self._redraw:
                        return
                    before[step.first] = step

    def _say(self, cell: dict[str, Any]) -> None:
        with self._news:
            self.cells.append(cell)
            self._news.notify_all()

    def _enough(self) -> bool:
        """Whether nobody waits for more, or there can't be more."""
        with self._news:
            if time.monotonic() - self._read > PATIENCE:
                self.error = "this page did not ask for more, so its grid was stopped; press Look"
                self.stop()
            taken = sum(len(step.x0) for run in self.runs for batches in run.steps.values() for step in batches)
            return self._stopped or taken >= MOST_CELLS

    def _drawn(self, run: "Run", seen: "Seen", crew: Any) -> Iterator[dict[str, Any]]:
        from PIL.Image import fromarray

        from models.strips import png
        from models.trajectory import shown

        request, step = run.lane.request, seen.step
        facts = {"lane": seen.lane, "step": step.i, "t": step.t, "log_snr": step.log_snr, "model": step.painter}
        for k, one in enumerate(shown(crew[request.model], request, seen, self.view), step.first):
            picture = fromarray(one.permute(1, 2, 0).numpy())
            yield facts | {"picture": k, "src": data_url(png(picture, level=1), "png")}

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
