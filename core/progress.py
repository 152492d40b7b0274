"""The progress of long work, for the person who started it: a bar on a terminal, elsewhere a line now and then."""

import atexit
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS = 20  # between two plain lines
COLUMNS = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bar:
    def __init__(self, name: str, total: int):
        self.total, self.step, self.spoke = total, 0, time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            self.bar = Progress(*COLUMNS, TimeRemainingColumn(), console=Console(stderr=True))
            self.bar.start()
            atexit.register(self.bar.stop)  # however it ends, the terminal gets its cursor back
            self.task = self.bar.add_task(name, total=total)

    def begin(self, step: int) -> None:
        """Measure the pace from this step on."""
        self.step, self.spoke = step, time.monotonic()

    def show(self, step: int, values: dict[str, float], seconds_left: float, each: int, unit: str) -> None:
        """`each`: units in a step, such as 64 samples, from which the pace is computed."""
        if self.bar:
            self.bar.update(self.task, completed=step)
        elif (spent := time.monotonic() - self.spoke) > SECONDS:
            pace = (step - self.step) * each / spent
            shown = "  ".join(f"{k} {v:.4g}" for k, v in values.items())
            say(f"{step}/{self.total}  {shown}  {pace:.1f} {unit}/s  {seconds_left / 60:.0f} min left")
            self.begin(step)

    def end(self) -> None:
        if self.bar:
            self.bar.stop()


def lasted(seconds: float) -> str:
    """An estimate of time, in the unit that fits it."""
    for most, unit, name in ((90, 1, "seconds"), (5400, 60, "minutes"), (172_800, 3600, "hours")):
        if seconds < most:
            return f"{seconds / unit:.2g} {name}"
    return f"{seconds / 86_400:.3g} days"


def size(n: float) -> str:
    """Bytes in the unit that fits them."""
    return f"{n / 1e9:.2g} GB" if n >= 1e8 else f"{n / 1e6:.2g} MB"
