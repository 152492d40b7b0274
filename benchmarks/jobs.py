"""The speed of the jobs table: submits, claims and heartbeats in a second, pages of a long history; and the slowdown of
a picture while a training job runs.

    python -m benchmarks.jobs [--history 100000] [--folder DIR] [--only table|picture]

Every write is on the disk before it counts (synchronous=FULL), so the figures depend on the disk too; `--folder`
chooses it. The history is written straight into the table. Pictures alone and pictures beside a training take turns
(its command is stopped meanwhile), so that other load affects both equally; `load` is that load, as `uptime` counts it.
"""

import argparse
import multiprocessing
import os
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import RESULTS, Row, markdown, publish, record
from core import db
from jobs import kinds, process
from jobs.job import Job, Limits, Progress, State
from jobs.store import Store
from jobs.worker import start_background
from models import catalogue, families
from models.generate import generate
from models.request import DEFAULT_MODEL, ImageRequest

MANY = Limits(waiting_per_owner=10**9, running_per_owner=10**9)
OUT = [{"path": "result.txt", "bytes": 1}]
REQUEST = {"method": "sft", "base": None, "dataset": "mixture", "minutes": None, "seed": 0, "set": ["lr=1e-3"]}
KEYS = ("measure", "history", "sqlite")
COLUMNS = ("measure", "history", "value", "unit", "journal", "load")
SECONDS = 3.0  # duration of each measurement of a rate
TURNS, PICTURES = 10, 8  # turns of pictures alone and beside a training, and pictures in each
TRAINING = {"method": "sft", "dataset": "mixture", "train.steps": "100000000"}  # it never ends by itself


def rate(work: Callable[[], object]) -> float:
    """Calls in a second, one after the other."""
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
    """Claims in a second, each with the end of its job, of several processes at once."""
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
    """Write a history of ended jobs of a hundred owners."""
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
    """The rates of an empty table, in a second."""
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
    """The milliseconds of the page's and a worker's calls on a table with a long history."""
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
    figures = {name: (milliseconds(work), "ms") for name, work in out.items()}
    begun = time.perf_counter()
    Store(folder, check=True).close()
    return figures | {"open, with the check for damage": (1000 * (time.perf_counter() - begun), "ms")}


def signal_all(job: Job, number: int) -> None:
    for pid in process.of_job(job.id):
        os.kill(pid, number)


def pictures(folder: Path) -> dict[str, tuple[float, str]]:
    """The 95th percentile of milliseconds for a picture, alone and while a job trains on the same processor."""
    parts, request = families.load(catalogue.get(DEFAULT_MODEL)), ImageRequest("a red mushroom")
    store = Store(folder)
    job = store.submit("distill", kinds.request("distill", TRAINING, {}).to_dict())
    worker = start_background("--studio", str(folder))
    spent: dict[int, list[float]] = {signal.SIGSTOP: [], signal.SIGCONT: []}
    try:
        while not store.get(job.id).step:
            time.sleep(0.2)
        for turn in range(2 * TURNS):
            number = list(spent)[turn % 2]
            signal_all(job, number)
            for _ in range(PICTURES):
                begun = time.perf_counter()
                list(generate(parts, request))
                spent[number].append(1000 * (time.perf_counter() - begun))
    finally:
        signal_all(job, signal.SIGCONT)  # a stopped process can't exit
        worker.stop()
    alone, beside = (statistics.quantiles(times, n=20)[-1] for times in spent.values())
    return {
        "a picture alone, p95": (alone, "ms"),
        "a picture while a job trains, p95": (beside, "ms"),
        "how much slower that is": (beside / alone, "times"),
    }


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("benchmarks.jobs", description=__doc__)
    p.add_argument("--history", type=int, default=100_000)
    p.add_argument("--folder", type=Path, help="where the tables are made (default: the temporary folder)")
    p.add_argument("--only", choices=["table", "picture"])
    args = p.parse_args(argv)
    load, measured = round(os.getloadavg()[0], 1), []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        if args.only != "picture":
            measured += [(0, rates(Path(folder) / "a")), (args.history, history(Path(folder) / "b", args.history))]
        if args.only != "table":
            measured += [(0, pictures(Path(folder) / "c"))]
    journal = db.journal_for(sqlite3.sqlite_version_info)
    rows: list[Row] = [
        {"measure": name, "history": jobs, "value": float(f"{value:.3g}"), "unit": unit, "journal": journal}
        | {"sqlite": sqlite3.sqlite_version, "load": load}
        for jobs, figures in measured
        for name, (value, unit) in figures.items()
    ]
    table = markdown(record(RESULTS / "jobs.json", rows, KEYS), COLUMNS)
    publish("jobs", table)
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
