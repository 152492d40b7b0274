"""What the tests of jobs share: a clock that is turned by hand, a store on it, a worker in this process."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from core.events import Events
from jobs.attempt import Settings
from jobs.job import Clock, Job, Limits, Progress
from jobs.kinds import Kind
from jobs.store import Store
from jobs.worker import Worker
from tests.standin import Chain, command

KINDS = {"chain": Kind(Chain, command)}
OUT = [{"path": "result.txt", "bytes": 1}]
QUICK = Settings(nice=0, beat=0.2, poll=0.02, pause_grace=5.0, stop_grace=5.0)


@dataclass
class Hands:
    """Both clocks of a machine, turned by hand."""

    wall: float = 1_800_000_000.0
    mono: float = 5_000.0
    boot: str = "boot"

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.mono, self.boot)

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.mono += seconds


def opened(folder: Path, hands: Hands | None = None, **limits) -> Store:
    return Store(folder, hands.clock() if hands else None, Limits(**limits), busy_seconds=60.0)


def chain(store: Store, mode: str = "good", owner: str = "local", **fields) -> Job:
    return store.submit("chain", Chain(mode=mode, **fields).to_dict(), owner)


def claimed(store: Store, **fields) -> Job:
    """A new job, taken by a worker."""
    chain(store, **fields)
    job = store.claim("worker", "cpu")
    assert job is not None
    return job


def worker(store: Store, **settings) -> Worker:
    return Worker(store, replace(QUICK, **settings), KINDS)


def until(condition: Callable[[], object], turn: Callable[[], object] = lambda: None, still: float = 90.0) -> float:
    """Wait for it; `still` seconds without it are a failure. Returns the seconds that a busy machine cost by itself."""
    end, lag = time.monotonic() + still, 0.0
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        turn()
        asleep = time.monotonic()
        time.sleep(0.02)
        lag += time.monotonic() - asleep - 0.02
    return lag


@dataclass
class Never:
    """Nobody is known to be dead."""

    owners: list[str] = field(default_factory=list)

    def __call__(self, who: str) -> bool:
        self.owners.append(who)
        return False


def worked(store: Store, id: str) -> None:
    """Claim a job, say what a training says, and end it, as a worker does."""
    job = store.claim("boot/ns/1/1", f"cpu:{id}")
    assert job is not None and job.id == id
    run, events = store.run(id), Events(store.run(id))
    for step in (10, 20):
        events.write("metric", step=step, values={"student/loss": 1 / step, "student/grad_norm": 1.0})
        events.write("progress", stage="train", step=step, total=20, seconds_left=20.0 - step)
    (run / "samples").mkdir()
    Image.new("RGB", (16, 8), "red").save(run / "samples" / "a.png")
    events.write("sample", step=20, path="samples/a.png")
    (run / "weights").write_bytes(b"12345")
    events.write("done", step=20, outputs=["weights"])
    (run / "log.txt").write_text("\x1b[31mfrom step 0\x1b[0m\nhalf\rwhole <b>\n")
    store.beat(job, Progress("train", 20, 20, 0.0, None, 20, time.time()), 3.0, 5)
    store.done(job, [{"path": "weights", "bytes": 5}])
