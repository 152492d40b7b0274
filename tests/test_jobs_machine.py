"""Random histories of the store against a model of it in plain Python (T-JOB-06).

Five people ask, three workers claim, stall, die and wake up again, the clock jumps, the file is opened anew; after
every step the table says what the model says. Claims may be stale: those must change nothing.
"""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from jobs import keep
from jobs.job import ENDED, Job, Progress, State
from jobs.store import BACKOFF, BACKOFF_CAP, LEASE, Fenced
from tests.jobs_bench import Hands, opened

LIMITS = {"failures": 2, "losses": 3, "waiting_per_owner": 3, "running_per_owner": 2}
WORKERS = ("w0", "w1", "w2")
DEVICES = ("cpu:0", "cpu:1", "cpu:2")
ASKED = {"cancel": State.CANCELLED, "pause": State.PAUSED, None: State.QUEUED}


@dataclass
class Row:
    """What the model knows of a job."""

    owner: str
    priority: int
    number: int
    state: State = State.QUEUED
    wish: str | None = None
    fence: int = 0
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    checkpoint: int | None = None
    not_before: float = 0.0
    worker: str = ""
    until: float = 0.0  # by the monotonic clock
    outputs: list = field(default_factory=list)

    def go(self, state: State) -> None:
        self.state, self.wish = state, None


class Jobs(RuleBasedStateMachine):
    claims = Bundle("claims")
    ids = Bundle("ids")

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp(prefix="jobs-"))
        self.hands, self.rows, self.fences, self.gone = Hands(), {}, 0, set()
        self.dead: set[str] = set()
        self.store = opened(self.folder, self.hands, **LIMITS)

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)

    # People

    @rule(target=ids, owner=st.sampled_from("abc"), priority=st.integers(-1, 1))
    def submit(self, owner, priority):
        waits = sum(r.owner == owner and r.state in (State.QUEUED, State.PAUSED) for r in self.rows.values())
        try:
            job = self.store.submit("chain", {}, owner, priority)
        except ValueError:
            assert waits >= LIMITS["waiting_per_owner"]
            return "refused"
        assert waits < LIMITS["waiting_per_owner"]
        self.rows[job.id] = Row(owner, priority, len(self.rows) + len(self.gone))
        return job.id

    def ask(self, action, job_id, allowed):
        """Calls the store; whether it agreed must be what the model says."""
        if job_id not in self.rows:
            allowed = False
        try:
            action(job_id)
        except ValueError:
            assert not allowed
            return None
        assert allowed
        return self.rows[job_id]

    @rule(job_id=ids)
    def cancel(self, job_id):
        row = self.rows.get(job_id)
        row = self.ask(self.store.cancel, job_id, row and row.state not in (State.DONE, State.FAILED))
        if row and row.state is State.RUNNING:
            row.wish = "cancel"
        elif row:
            row.go(State.CANCELLED)

    @rule(job_id=ids)
    def pause(self, job_id):
        row = self.rows.get(job_id)
        row = self.ask(self.store.pause, job_id, row and row.state not in ENDED)
        if row and row.state is State.RUNNING:
            row.wish = row.wish or "pause"
        elif row:
            row.go(State.PAUSED)

    @rule(job_id=ids)
    def resume(self, job_id):
        row = self.rows.get(job_id)
        row = self.ask(self.store.resume, job_id, row and row.state is not State.DONE)
        if row and row.state is State.RUNNING:
            row.wish = None if row.wish == "pause" else row.wish
        elif row and row.state is not State.QUEUED:
            row.go(State.QUEUED)
            row.failures = row.losses = 0
            row.not_before = 0.0

    @rule(job_id=ids)
    def delete(self, job_id):
        row = self.rows.get(job_id)
        if self.ask(lambda i: keep.delete(self.store, i), job_id, row and row.state is not State.RUNNING):
            self.gone.add(job_id)
            del self.rows[job_id]
            assert not self.store.run(job_id).exists()

    # Workers

    def best(self, device):
        """The rule of docs/jobs.md, said once more in Python."""
        running = [r for r in self.rows.values() if r.state is State.RUNNING]
        if any(r.device == device for r in running):
            return None
        ready = [
            (i, r)
            for i, r in self.rows.items()
            if r.state is State.QUEUED
            and not self.hands.wall < r.not_before <= self.hands.wall + BACKOFF_CAP
            and sum(o.owner == r.owner for o in running) < LIMITS["running_per_owner"]
        ]
        last = {o: max(r.fence for r in self.rows.values() if r.owner == o) for o in {r.owner for _, r in ready}}
        return min(ready, key=lambda p: (-p[1].priority, last[p[1].owner], p[1].number), default=(None,))[0]

    @rule(target=claims, worker=st.sampled_from(WORKERS), device=st.sampled_from(DEVICES))
    def claim(self, worker, device):
        expected = self.best(device)
        job = self.store.claim(worker, device)
        assert (job and job.id) == expected
        if job is None:
            return None
        self.dead.discard(worker)
        top = max((r.fence for r in self.rows.values()), default=0)
        row = self.rows[job.id]
        assert job.fence == top + 1 and (job.id, job.fence) not in self.granted()
        row.go(State.RUNNING)
        row.fence, row.attempt, row.worker, row.device = job.fence, row.attempt + 1, worker, device
        row.until = self.hands.mono + LEASE
        return job

    def granted(self):
        return {(i, r.fence) for i, r in self.rows.items()}

    def write(self, job: Job | None, action) -> Row | None:
        """A write of a worker; the model knows whether its claim still holds."""
        if job is None:
            return None
        holds = self.holds(job)
        try:
            action(job)
        except Fenced:
            assert not holds
            return None
        assert holds
        return self.rows[job.id]

    @rule(job=claims, step=st.none() | st.integers(0, 5))
    def beat(self, job, step):
        row = self.write(job, lambda j: self.store.beat(j, Progress(checkpoint_step=step)))
        if row:
            row.until = self.hands.mono + LEASE
            if step is not None and (row.checkpoint is None or step > row.checkpoint):
                row.checkpoint, row.failures, row.losses = step, 0, 0

    @rule(job=claims)
    def done(self, job):
        row = self.write(job, lambda j: self.store.done(j, [{"path": "x", "bytes": 1}]))
        if row:
            row.go(State.DONE)
            row.outputs = [{"path": "x", "bytes": 1}]

    @rule(job=claims)
    def failed(self, job):
        row = self.write(job, lambda j: self.store.failed(j, "why"))
        if row:
            row.go(State.FAILED)

    @rule(job=claims)
    def retry(self, job):
        row = self.write(job, lambda j: self.store.retry(j, "why"))
        if row is None:
            return
        if row.wish:
            row.go(ASKED[row.wish])
            return
        row.failures += 1
        row.go(State.FAILED if row.failures >= LIMITS["failures"] else State.QUEUED)
        if row.state is State.QUEUED:
            row.not_before = self.hands.wall + BACKOFF * 2 ** (row.failures - 1)

    @rule(job=claims)
    def stopped(self, job):
        row = self.write(job, self.store.stopped)
        if row:
            row.go(ASKED[row.wish])

    # The world

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker):
        self.dead.add(worker)

    @rule()
    def sweep(self):
        lost = {
            i: r
            for i, r in self.rows.items()
            if r.state is State.RUNNING and (r.worker in self.dead or self.hands.mono > r.until)
        }
        assert {j.id for j in self.store.sweep(lambda who: who in self.dead)} == set(lost)
        for row in lost.values():
            row.losses += 1
            if row.losses >= LIMITS["losses"] and not row.wish:
                row.go(State.FAILED)
                continue
            row.go(ASKED[row.wish])
            row.not_before = self.hands.wall + BACKOFF * 2 ** (row.losses - 2) if row.losses > 1 else 0.0

    @rule(target=claims, job=claims, other=st.sampled_from(WORKERS))
    def hand_over(self, job, other):
        """The worker vanishes, another sweeps up and takes what is next, the first wakes up and writes."""
        if job is None:
            return multiple()
        self.die(job.worker)
        self.sweep()
        taken = [self.claim(other, device) for device in DEVICES]
        for late in (self.store.beat, self.store.wish, self.store.stopped, lambda j: self.store.failed(j, "late")):
            if not self.holds(job):
                self.write(job, late)
        return multiple(*taken)

    def holds(self, job: Job) -> bool:
        row = self.rows.get(job.id)
        return row is not None and row.state is State.RUNNING and row.fence == job.fence

    @rule(seconds=st.sampled_from((1.0, 5.0, LEASE / 2, LEASE + 1, BACKOFF_CAP)))
    def wait(self, seconds):
        self.hands.pass_(seconds)

    @rule(seconds=st.sampled_from((-3600.0, 3600.0)))
    def jump(self, seconds):
        self.hands.wall += seconds

    @rule()
    def restart(self):
        self.store.close()
        self.store = opened(self.folder, self.hands, **LIMITS)

    @invariant()
    def the_table_is_the_model(self):
        if not hasattr(self, "store"):
            return
        seen = {j.id: j for j in self.store.jobs(limit=1000)}
        assert set(seen) == set(self.rows)
        for i, row in self.rows.items():
            job = seen[i]
            assert (job.state, job.wish, job.fence, job.attempt) == (row.state, row.wish, row.fence, row.attempt)
            assert (job.failures, job.losses, job.outputs) == (row.failures, row.losses, row.outputs)
            assert (job.ended is not None) == (job.state in ENDED)
        devices = [j.device for j in seen.values() if j.state is State.RUNNING]
        assert len(devices) == len(set(devices))


Jobs.TestCase.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestJobs = Jobs.TestCase


class Longer(Jobs):
    """`make storm`: more and longer histories."""


Longer.TestCase.settings = settings(Jobs.TestCase.settings, max_examples=200, stateful_step_count=80)
TestLonger = pytest.mark.slow(Longer.TestCase)
