"""SIGKILL against workers, commands, the app, and all of them, at each step of a job's life and at random.

What holds after every one of them: no job is lost, none is delivered twice, no result is without its row and no row
without its result, and the chain of hashes is the one of a run that nobody disturbed.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from core import db
from jobs import process
from jobs.job import Job, Limits, State
from jobs.store import Store
from tests.jobs_bench import chain, opened, until
from tests.standin import expected

ROOT = Path(__file__).parent.parent
WATCH = """
CREATE TABLE delivered (id TEXT, fence INTEGER);
CREATE TABLE granted (id TEXT, fence INTEGER);
CREATE TRIGGER deliver AFTER UPDATE OF state ON jobs WHEN NEW.state = 'done'
  BEGIN INSERT INTO delivered VALUES (NEW.id, NEW.fence); END;
CREATE TRIGGER grant AFTER UPDATE OF fence ON jobs
  BEGIN INSERT INTO granted VALUES (NEW.id, NEW.fence); END;
"""


@pytest.fixture
def started():
    """Starts processes and sees to it that none is left."""
    running: list[subprocess.Popen] = []

    def start(folder: Path, *arguments: str) -> subprocess.Popen:
        argv = [sys.executable, "-m", "tests.standin", "work", "--studio", str(folder), *arguments]
        with (folder / "workers.log").open("ab") as log:
            running.append(subprocess.Popen(argv, cwd=ROOT, stderr=log, start_new_session=True))
        return running[-1]

    yield start
    for p in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, signal.SIGCONT)
            os.killpg(p.pid, signal.SIGKILL)
        p.wait()


def watched(folder: Path) -> Store:
    store = opened(folder)
    for statement in db.statements(WATCH):
        store.conn.execute(statement)
    return store


def sound(store: Store, steps: dict[str, int]) -> None:
    """The promise of the module's first lines. steps: job -> the steps that it has."""
    for job_id, count in steps.items():
        job = store.get(job_id)
        assert (job.state, job.error) == (State.DONE, None), job
        assert (store.run(job_id) / "result.txt").read_text() == expected(count)
        assert process.of_job(job_id) == []
    assert {p.name for p in (store.studio / "runs").iterdir()} == set(steps)
    delivered = [tuple(r) for r in store.conn.execute("SELECT id, fence FROM delivered")]
    assert sorted(i for i, _ in delivered) == sorted(steps)
    assert all(store.get(i).fence == fence for i, fence in delivered)
    granted = [tuple(r) for r in store.conn.execute("SELECT id, fence FROM granted")]
    assert len(granted) == len(set(granted)) == len({f for _, f in granted})
    assert db.sound(store.conn)


POINTS = [
    *(
        f"{when} {what}"
        for what in ("Store.claim", "process.launch", "Store.beat", "Store.done")
        for when in ("before", "after")
    ),
    "before process.end_orphans",
    "before Attempt._conclude",
    "before files.size",
    "after files.write_copy",
]


@pytest.mark.parametrize("point", POINTS)
def test_worker_killed_at_each_step_of_a_jobs_life(tmp_path, started, point):
    """T-JOB-01."""
    store = watched(tmp_path)
    job = chain(store, steps=10, every=2, ms=25)
    assert started(tmp_path, "--crash", point).wait(180) == -signal.SIGKILL
    before = store.get(job.id)
    second = started(tmp_path, "--drain")
    assert second.wait(180) == 0
    sound(store, {job.id: 10})
    ended = store.get(job.id)
    assert ended.attempt == before.attempt + (before.state is not State.DONE)
    if before.checkpoint_step and ended.attempt > before.attempt:
        assert (ended.resumed_from or 0) >= before.checkpoint_step


@pytest.mark.parametrize(
    "victims, step", [("command", 7), ("command and worker", 0), ("command and worker", 7), ("worker then command", 7)]
)
def test_command_killed_with_and_without_its_worker(tmp_path, started, victims, step):
    store = watched(tmp_path)
    job = chain(store, steps=20, every=3, ms=120)
    first = started(tmp_path)
    until(lambda: process.of_job(job.id) and (store.get(job.id).step or 0) >= step)
    pids = process.of_job(job.id)
    if victims == "worker then command":
        first.kill()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if victims != "command":
        first.kill()
        started(tmp_path)
    until(lambda: store.get(job.id).state is State.DONE)
    sound(store, {job.id: 20})
    assert store.get(job.id).attempt == 2
    assert step == 0 or store.get(job.id).resumed_from >= 3


def test_a_worker_that_sleeps_through_its_lease_is_replaced_and_told_so(tmp_path, started):
    """T-JOB-04, with processes: SIGSTOP, take-over, SIGCONT."""
    store = watched(tmp_path)
    job = chain(store, steps=60, every=5, ms=40)
    first = started(tmp_path, "--lease", "1")
    until(lambda: (store.get(job.id).step or 0) >= 6)
    first.send_signal(signal.SIGSTOP)
    (orphan,) = process.of_job(job.id)
    os.kill(orphan, signal.SIGSTOP)
    second = started(tmp_path, "--lease", "1", "--drain")
    until(lambda: store.get(job.id).attempt == 2 and (store.get(job.id).resumed_from or 0) >= 5)
    assert orphan not in process.of_job(job.id)  # two commands never share a run folder
    first.send_signal(signal.SIGCONT)
    assert second.wait(180) == 0
    sound(store, {job.id: 60})
    until(lambda: "another worker has the job" in (tmp_path / "workers.log").read_text())
    assert first.poll() is None  # it goes on with other work


APP = "import sys, time; from jobs.worker import Background; b = Background(sys.argv[1:]); time.sleep(100)"


@pytest.mark.parametrize("victims", ["app", "app, worker and command"])
def test_app_killed_with_one_job_running_and_five_queued(tmp_path, victims):
    """T-JOB-02."""
    store = watched(tmp_path)
    steps = {chain(store, steps=n, every=3, ms=60).id: n for n in (20, 4, 4, 4, 4, 4)}
    ids = list(steps)
    work = [sys.executable, "-m", "tests.standin", "work", "--studio", str(tmp_path)]
    app = subprocess.Popen([sys.executable, "-c", APP, *work], cwd=ROOT)
    try:
        until(lambda: (store.get(ids[0]).step or 0) >= 7)
        worker = int(store.get(ids[0]).worker.split("/")[2])
        pids = process.of_job(ids[0])
        app.kill()
        for pid in [worker, *pids] if victims != "app" else []:
            os.kill(pid, signal.SIGKILL)
        app.wait()
        until(lambda: not process.of_job(ids[0]) and process.dead(store.get(ids[0]).worker, store.clock))
        states = [store.get(i).state for i in ids]
        assert states[1:] == [State.QUEUED] * 5 and states[0] in (State.QUEUED, State.RUNNING)
        app = subprocess.Popen([sys.executable, "-c", APP, *work], cwd=ROOT)
        until(lambda: store.counts()[State.DONE] == 6)
    finally:
        app.kill()
        app.wait()
    sound(store, steps)
    order = [store.get(i).started for i in ids]
    assert order == sorted(order) and store.get(ids[0]).resumed_from >= 3
    until(lambda: not store.workers(lambda who: process.dead(who, store.clock)))


def test_a_worker_that_dies_beside_the_app_is_started_again(tmp_path):
    store = watched(tmp_path)
    job = chain(store, steps=40, every=3, ms=30)
    work = [sys.executable, "-m", "tests.standin", "work", "--studio", str(tmp_path)]
    app = subprocess.Popen([sys.executable, "-c", APP, *work], cwd=ROOT)
    try:
        until(lambda: (store.get(job.id).step or 0) >= 7)
        os.kill(int(store.get(job.id).worker.split("/")[2]), signal.SIGKILL)
        until(lambda: store.get(job.id).state is State.DONE)
    finally:
        app.kill()
        app.wait()
    sound(store, {job.id: 40})


def strike(store: Store, rng: random.Random, hits: Counter, crew: list, again) -> None:
    """Kill a worker, a command, or both."""
    target = rng.randrange(6)
    if rng.random() < 0.7:
        crew[target].kill()
        crew[target].wait()
        crew[target] = again()
    # a command that is killed three times in a row before a checkpoint counts as poison, so twice is enough
    busy = [j.id for j in store.jobs([State.RUNNING]) if hits[j.id] < 2]
    if not busy or rng.random() < 0.4:
        return
    victim = rng.choice(busy)
    hits[victim] += 1
    for pid in process.of_job(victim):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def storm(folder: Path, started, seed: int, jobs: int, kills: int) -> list[Job]:
    """Six workers on six devices, and a killer that strikes at random moments of their progress."""
    rng, store, hits = random.Random(seed), watched(folder), Counter()
    store.limits = Limits(waiting_per_owner=jobs)
    steps = {}
    for n in range(jobs):
        count = rng.randint(1, 12)
        steps[chain(store, steps=count, every=rng.randint(1, 4), ms=rng.uniform(0, 15), owner=f"o{n % 3}").id] = count
    crew = [started(folder, "--slots", "6") for _ in range(6)]
    for moment in sorted(rng.randrange(jobs) for _ in range(kills)):
        until(lambda moment=moment: store.counts()[State.DONE] >= moment, still=600)
        until(lambda: store.jobs([State.RUNNING]) or store.counts()[State.DONE] == jobs)
        time.sleep(rng.uniform(0, 0.2))
        strike(store, rng, hits, crew, lambda: started(folder, "--slots", "6"))
    until(lambda: store.counts()[State.DONE] == jobs, still=600)
    for p in crew:
        p.terminate()
    assert {p.wait(180) for p in crew} <= {0, -signal.SIGTERM}  # the latter: told to leave while it was starting
    sound(store, steps)
    return store.jobs(limit=jobs)


def test_a_short_storm(tmp_path, started):
    """T-JOB-03 and T-JOB-01 at random."""
    done = storm(tmp_path, started, seed=1, jobs=40, kills=8)
    assert max(j.attempt for j in done) > 1  # some were hit


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_long_storm(tmp_path, started, seed):
    """`make storm`: 900 jobs, 240 strikes."""
    done = storm(tmp_path, started, seed=seed, jobs=300, kills=80)
    extra = sum(j.attempt - 1 for j in done)
    print(f"seed {seed}: {len(done)} done, {extra} more attempts, at most {max(j.attempt for j in done)} for one")
