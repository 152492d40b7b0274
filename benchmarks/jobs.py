"""How quick the table of jobs is: submits, claims and heartbeats a second, and pages of a long history.

    python -m benchmarks.jobs [--history 100000] [--folder DIR]

Every write is on the disk before it counts (synchronous=FULL), so the figures are those of the disk as much as of the
store; `--folder` says where. The history is written straight into the table.
"""

import argparse
import multiprocessing
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import RESULTS, Row, markdown, publish, record
from jobs import db
from jobs.job import Job, Limits, Progress, State
from jobs.store import Store

MANY = Limits(waiting_per_owner=10**9, running_per_owner=10**9)
OUT = [{"path": "result.txt", "bytes": 1}]
REQUEST = {"method": "sft", "base": None, "dataset": "mixture", "minutes": None, "seed": 0, "set": ["lr=1e-3"]}
KEYS = ("measure", "history", "sqlite")
SECONDS = 3.0  # of each rate


def rate(work: Callable[[], object]) -> float:
    """Calls a second, one after the other."""
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < SECONDS:
        work()
        count += 1
    return count / (time.perf_counter() - begun)


def milliseconds(work: Callable[[], object], repeats: int = 30) -> float:
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times)


def submit(store: Store) -> Job:
    return store.submit("distill", REQUEST)


def cycle(store: Store, number: int) -> None:
    """A claim and the end of its job."""
    job = store.claim(f"worker {number}", f"cpu:{number}")
    if job is not None:
        store.done(job, OUT)


def _worker(folder: Path, number: int, barrier, counts) -> None:
    store = Store(folder, limits=MANY)
    barrier.wait()
    counts.put(rate(lambda: cycle(store, number)))


def together(folder: Path, processes: int) -> float:
    """Claims (with the end of the job) a second of several processes at once."""
    ctx = multiprocessing.get_context("spawn")
    barrier, counts = ctx.Barrier(processes), ctx.Queue()
    crew = [ctx.Process(target=_worker, args=(folder, n, barrier, counts)) for n in range(processes)]
    for p in crew:
        p.start()
    total = sum(counts.get() for _ in crew)
    for p in crew:
        p.join()
    return total


def fill(store: Store, count: int) -> None:
    """A history of ended jobs of a hundred owners."""
    ends = [State.DONE, State.DONE, State.DONE, State.FAILED, State.CANCELLED]
    rows = (
        (f"h{n:09}", f"owner {n % 100}", ends[n % 5], n + 1, n, n, '[{"path": "x", "bytes": 1}]', 1000)
        for n in range(count)
    )
    sql = """INSERT INTO jobs
             (id, kind, request, owner, priority, state, attempt, fence, created, ended, outputs, bytes)
             VALUES (?, 'distill', '{"method": "sft"}', ?, 0, ?, 1, ?, ?, ?, ?, ?)"""
    with db.transaction(store.conn):
        store.conn.executemany(sql, rows)


def rates(folder: Path) -> dict[str, tuple[float, str]]:
    """An empty table: how many of each thing in a second."""
    store = Store(folder, limits=MANY)
    out = {"submits": (rate(lambda: submit(store)), "1/s")}
    out["claims, and the end of the job"] = (rate(lambda: cycle(store, 0)), "1/s")
    job = store.claim("worker", "cpu") or submit(store)
    out["heartbeats"] = (rate(lambda: store.beat(job, Progress(step=1))), "1/s")
    store.failed(job, "measured")
    for _ in range(2000):
        submit(store)
    out["claims, six processes at once"] = (together(folder, 6), "1/s")
    return out


def history(folder: Path, count: int) -> dict[str, tuple[float, str]]:
    """The same table behind a long history: milliseconds of what the page and a worker do."""
    store = Store(folder, limits=MANY)
    fill(store, count)
    middle = store.jobs(limit=1, before=count // 2)[0].seq
    out = {
        "first page of 50 jobs": lambda: store.jobs(),
        "page of 50 in the middle": lambda: store.jobs(before=middle),
        "first page of one owner": lambda: store.jobs(owner="owner 7"),
        "counts by state": store.counts,
        "disk used": store.used,
        "submit": lambda: submit(store),
        "claim, and the end of the job": lambda: cycle(store, 0),
    }
    found = {name: (milliseconds(work), "ms") for name, work in out.items()}
    begun = time.perf_counter()
    Store(folder, check=True).close()
    return found | {"open, with the check for damage": (1000 * (time.perf_counter() - begun), "ms")}


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.jobs", description=__doc__)
    p.add_argument("--history", type=int, default=100_000)
    p.add_argument("--folder", type=Path, help="where the tables are made (default: the temporary folder)")
    args = p.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        measured = [(0, rates(Path(folder) / "a")), (args.history, history(Path(folder) / "b", args.history))]
    journal = db.journal_for(sqlite3.sqlite_version_info)
    rows: list[Row] = [
        {"measure": name, "history": jobs, "value": float(f"{value:.3g}"), "unit": unit, "journal": journal}
        | {"sqlite": sqlite3.sqlite_version}
        for jobs, found in measured
        for name, (value, unit) in found.items()
    ]
    table = markdown(record(RESULTS / "jobs.json", rows, KEYS), ("measure", "history", "value", "unit", "journal"))
    publish("jobs", table)
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
