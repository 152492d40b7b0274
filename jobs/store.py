"""The one truth about long work: a table of jobs in the studio's jobs.db.

A worker claims a job by one statement and holds it by a lease that it renews. Claims are numbered, and everything
that a worker writes names its claim: a worker that slept through its lease changes nothing, it is told that it is
`Fenced`. A job is done only when its worker says so and its outputs are there.
"""

import contextlib
import json
import secrets
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core import db
from core.paths import studio as studio_folder
from jobs import files, schema
from jobs.job import ENDED, Clock, Job, Limits, Progress, State, sources

LEASE = 60.0  # seconds; a database that is locked for 20 s costs nobody a job
BACKOFF, BACKOFF_CAP = 2.0, 300.0  # seconds after the first failure, doubled by each further one
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
PRIORITIES = range(-10, 11)


class Fenced(RuntimeError):
    """The job is no longer this worker's: whatever it still does must not be written."""


class Store:
    """Safe for threads; every process opens its own."""

    def __init__(
        self,
        studio: Path | None = None,
        clock: Clock | None = None,
        limits: Limits | None = None,
        busy_seconds: float = db.BUSY_SECONDS,
        check: bool = False,
    ):
        """Raises db.DatabaseUnusable. A damaged file is set aside and rebuilt from the run folders.

        check: look for damage in the whole file, as programs that stay open do at their start.
        """
        self.studio = (studio or studio_folder()).resolve()
        self.clock, self.limits, self.busy_seconds = clock or Clock(), limits or Limits(), busy_seconds
        self._lock = threading.RLock()
        self._open(check)

    def _open(self, check: bool = False) -> None:
        self.conn, self.inode = files.open_jobs(self.studio, self.busy_seconds, check)

    def close(self) -> None:
        self.conn.close()

    def run(self, job_id: str) -> Path:
        """The folder in which a job works."""
        return self.studio / "runs" / job_id

    # Statements

    def _refresh(self) -> None:
        """Open anew when another process set the file aside, or a person removed it."""
        if not self.conn.in_transaction and files.inode(self.studio) != self.inode:
            self.conn.close()
            self._open()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, however deep it is asked for."""
        with self._lock:
            self._refresh()
            if self.conn.in_transaction:
                yield
                return
            with db.transaction(self.conn):
                yield

    def _rows(self, sql: str, values: Any = ()) -> list[Any]:
        with self._lock, db.explained(self.conn):
            self._refresh()
            return self.conn.execute(sql, values).fetchall()

    def _move(self, job_id: str, to: State, where: str = "", values: Any = (), **sets: Any) -> Job | None:
        """One legal move, and the copy beside the run; None when the row is not (or no longer) where it must be."""
        legal = ", ".join(f"'{s}'" for s in sources(to))
        sets |= {"wish": None, "ended": self.clock.wall() if to in ENDED else None}
        changes = ", ".join(f"{name} = ?" for name in sets)
        sql = f"UPDATE jobs SET state = '{to}', {changes} WHERE id = ? AND NOT deleting AND state IN ({legal})"
        with self._writing():
            rows = self._rows(f"{sql} {where} RETURNING *", (*sets.values(), job_id, *values))
            if not rows:
                return None
            files.write_copy(self.run(job_id), rows[0])
            return Job.from_row(rows[0])

    # Asking: page, HTTP, command line

    def submit(
        self,
        kind: str,
        request: dict,
        owner: str = "local",
        priority: int = 0,
        key: str | None = None,
        parent: str | None = None,
    ) -> Job:
        """Queue a validated request. The same `key` of the same owner gives the same job, however often it comes.

        Raises ValueError where a limit of the owner or of the studio is reached.
        """
        if priority not in PRIORITIES:
            raise ValueError(f"priority must be {PRIORITIES[0]} to {PRIORITIES[-1]}, not {priority}")
        with self._writing():
            known = self._rows("SELECT * FROM jobs WHERE owner = ? AND key = ?", (owner, key)) if key else []
            if known:
                return Job.from_row(known[0])
            self._check_limits(owner)
            new_id = "".join(secrets.choice(ALPHABET) for _ in range(10))
            columns = (new_id, kind, json.dumps(request, allow_nan=False), owner, priority, key, parent)
            row = self._rows(
                "INSERT INTO jobs (id, kind, request, owner, priority, key, parent, state, created) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?) RETURNING *",
                (*columns, self.clock.wall()),
            )[0]
            files.write_copy(self.run(new_id), row)
            return Job.from_row(row)

    def _check_limits(self, owner: str) -> None:
        waiting = "SELECT COUNT(*) FROM jobs WHERE owner = ? AND state IN ('queued', 'paused')"
        if self._rows(waiting, (owner,))[0][0] >= self.limits.waiting_per_owner:
            raise ValueError(f"{self.limits.waiting_per_owner} jobs wait already; cancel one or let one finish first")
        used = self.used()
        if used >= self.limits.quota_gb * 1e9:
            raise ValueError(
                f"the jobs' files take {used / 1e9:.1f} GB of the {self.limits.quota_gb:g} GB allowed; "
                "delete some jobs, or prune"
            )

    def get(self, job_id: str) -> Job:
        """Raises ValueError for an id that is not there."""
        rows = self._rows("SELECT * FROM jobs WHERE id = ? AND NOT deleting", (job_id,))
        if not rows:
            raise ValueError(f"there is no job {job_id!r}")
        return Job.from_row(rows[0])

    def find(self, start: str) -> Job:
        """The job whose id begins so. Raises ValueError when it is none, or more than one."""
        sql = "SELECT * FROM jobs WHERE id >= ? AND id < ? || '~' AND NOT deleting LIMIT 3"
        rows = self._rows(sql, (start, start)) if start else []
        if len(rows) > 1:
            raise ValueError(f"several jobs begin with {start!r}: {', '.join(r['id'] for r in rows)}, …")
        return Job.from_row(rows[0]) if rows else self.get(start)

    def jobs(
        self,
        states: Collection[State] = tuple(State),
        owner: str | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> list[Job]:
        """The newest first. `before`: the `seq` of the last job of the page before."""
        page = []
        for state in states:  # one index walk each, whatever the length of the history
            sql = "SELECT * FROM jobs WHERE state = ? AND NOT deleting AND seq < ?"
            values: list[Any] = [state, before or 2**62]
            if owner is not None:
                sql, values = sql + " AND owner = ?", [*values, owner]
            page += self._rows(f"{sql} ORDER BY seq DESC LIMIT ?", (*values, limit))
        return [Job.from_row(r) for r in sorted(page, key=lambda r: r["seq"], reverse=True)[:limit]]

    def waiting(self) -> bool:
        """Whether anything is queued; cheap, so that idle workers don't take the lock."""
        return bool(self._rows("SELECT 1 FROM jobs WHERE state = 'queued' LIMIT 1"))

    def counts(self, owner: str | None = None) -> dict[State, int]:
        """How many jobs are in each state, of one owner or of all."""
        whose, values = ("", ()) if owner is None else (" WHERE owner = ?", (owner,))
        by_state = dict(tuple(r) for r in self._rows(f"SELECT state, COUNT(*) FROM jobs{whose} GROUP BY state", values))
        return {state: by_state.get(state, 0) for state in State}

    def totals(self) -> dict[str, float]:
        """What was counted since the table was made: attempts, starts, wait_seconds, leases_lost, checkpoints, …"""
        return {r["name"]: r["value"] for r in self._rows("SELECT name, value FROM totals")}

    def count(self, **more: float) -> None:
        """Add to totals that the table can't count by itself."""
        with self._writing():
            for name, value in more.items():
                self._rows("UPDATE totals SET value = value + ? WHERE name = ?", (value, name))

    def oldest_wait(self) -> float:
        """Seconds since the longest waiting job was submitted; 0 where none waits."""
        oldest = self._rows("SELECT MIN(created) FROM jobs WHERE state = 'queued' AND NOT deleting")[0][0]
        return 0.0 if oldest is None else max(0.0, self.clock.wall() - oldest)

    def used(self) -> int:
        """Bytes of all run folders, as last measured."""
        return self._rows("SELECT COALESCE(SUM(bytes), 0) FROM jobs WHERE bytes > 0")[0][0]

    def cancel(self, job_id: str) -> Job:
        """End a job and keep its checkpoints. At once when nothing runs; else its worker is told, within a second."""
        return self._ask(job_id, "cancel", State.CANCELLED)

    def pause(self, job_id: str) -> Job:
        """Stop after a checkpoint; `resume` goes on from there."""
        return self._ask(job_id, "pause", State.PAUSED)

    def _ask(self, job_id: str, wish: str, to: State) -> Job:
        """Raises ValueError when the job's state does not allow it; asking twice is no error."""
        with self._writing():
            job = self.get(job_id)
            if job.state is State.RUNNING:  # a cancel outdoes a pause, not the other way round
                self._rows("UPDATE jobs SET wish = ? WHERE id = ? AND wish IS NOT 'cancel'", (wish, job_id))
                return self.get(job_id)
            if job.state is to:
                return job
            moved = self._move(job_id, to)
            if moved is None:
                raise ValueError(f"job {job_id} is {job.state}: there is nothing to {wish}")
            return moved

    def resume(self, job_id: str) -> Job:
        """Queue a paused, failed or cancelled job again; it goes on from its newest good checkpoint.

        On a running job it takes back a wish to pause.
        """
        with self._writing():
            job = self.get(job_id)
            if job.state is State.RUNNING:
                self._rows("UPDATE jobs SET wish = NULL WHERE id = ? AND wish = 'pause'", (job_id,))
                return self.get(job_id)
            if job.state is State.QUEUED:
                return job
            moved = self._move(job_id, State.QUEUED, error=None, failures=0, losses=0, not_before=0.0)
            if moved is None:
                raise ValueError(f"job {job_id} is {job.state}: there is nothing to resume")
            return moved

    # Working: all of it names the attempt

    def claim(self, worker: str, device: str) -> Job | None:
        """The next job for a device that is free, or None. One statement, so it is granted once."""
        limits = {"cap": BACKOFF_CAP, "per_owner": self.limits.running_per_owner}
        who = {"worker": worker, "device": device}
        rows = self._rows(schema.CLAIM, who | limits | self._lease() | {"wall": self.clock.wall()})
        return Job.from_row(rows[0]) if rows else None

    def _lease(self) -> dict[str, Any]:
        return {
            "boot": self.clock.boot,
            "mono": self.clock.mono() + LEASE,
            "until": self.clock.wall() + LEASE,
        }

    def beat(self, job: Job, progress: Progress | None = None, ran: float = 0.0, size: int | None = None) -> str | None:
        """Renew the lease and write down progress; returns the wish. Raises Fenced.

        ran: seconds since the last beat; size: bytes of the run folder.
        """
        progress_fields = asdict(progress or Progress())
        own = {"id": job.id, "fence": job.fence, "ran": ran, "bytes": size}
        rows = self._rows(schema.BEAT, progress_fields | own | self._lease())
        if not rows:
            raise Fenced(f"job {job.id}, claim {job.fence}")
        return rows[0]["wish"]

    def wish(self, job: Job) -> str | None:
        """What was asked of a running job, without writing. Raises Fenced."""
        sql = "SELECT wish FROM jobs WHERE id = ? AND fence = ? AND state = 'running'"
        rows = self._rows(sql, (job.id, job.fence))
        if not rows:
            raise Fenced(f"job {job.id}, claim {job.fence}")
        return rows[0]["wish"]

    def _end(self, job: Job, to: State, **sets: Any) -> Job:
        moved = self._move(job.id, to, "AND state = 'running' AND fence = ?", (job.fence,), **sets)
        if moved is None:
            raise Fenced(f"job {job.id}, claim {job.fence}")
        return moved

    def done(self, job: Job, outputs: list[dict]) -> Job:
        """Raises ValueError without outputs: nothing is done by absence."""
        if not outputs:
            raise ValueError(f"job {job.id} has no outputs, so it is not done")
        return self._end(job, State.DONE, outputs=json.dumps(outputs), seconds_left=0.0)

    def failed(self, job: Job, error: str) -> Job:
        """For good: trying again would not help."""
        return self._end(job, State.FAILED, error=error)

    def stopped(self, job: Job) -> Job:
        """The command left, its checkpoint kept: because that was asked, or since its worker has to stop."""
        with self._writing():
            return self._end(job, ASKED[self.wish(job)])

    def retry(self, job: Job, error: str) -> Job:
        """The command failed in a way that may pass: again after a while, unless it was asked to stop or it
        failed too often in a row."""
        with self._writing():
            wish, row = self.wish(job), self.get(job.id)
            if wish:
                return self._end(job, ASKED[wish])
            failures = row.failures + 1
            if failures >= self.limits.failures:
                often = f" ({failures} times in a row)" if failures > 1 else ""
                return self._end(job, State.FAILED, error=error + often, failures=failures)
            return self._end(job, State.QUEUED, error=error, failures=failures, not_before=self._after(failures))

    def _after(self, times: int) -> float:
        return self.clock.wall() + min(BACKOFF_CAP, BACKOFF * 2 ** (times - 1))

    def sweep(self, dead: Callable[[str], bool]) -> list[Job]:
        """Take jobs from workers that are dead or let their lease run out; returns those jobs."""
        running = self._rows("SELECT * FROM jobs WHERE state = 'running'")
        lost = [r for r in running if self._expired(r) or dead(r["worker"])]
        return [job for r in lost if (job := self._take(r)) is not None]

    def _expired(self, row: Any) -> bool:
        """By the monotonic clock of this boot; by the wall clock for leases of another, which may not lie further
        ahead than leases go."""
        if row["lease_boot"] == self.clock.boot:
            now, until = self.clock.mono(), row["lease_mono"]
        else:
            now, until = self.clock.wall(), row["lease_wall"]
        return not now <= until <= now + LEASE + 1

    def _take(self, row: Any) -> Job | None:
        """None when its worker was quicker: the lease is compared in the same statement."""
        where = "AND state = 'running' AND fence = ? AND lease_mono = ? AND lease_boot = ?"
        seen = (row["fence"], row["lease_mono"], row["lease_boot"])
        losses = row["losses"] + 1
        with self._writing():
            if losses >= self.limits.losses and not row["wish"]:
                error = f"its worker vanished {losses} times in a row; see the log"
                return self._move(row["id"], State.FAILED, where, seen, losses=losses, error=error)
            wait = 0.0 if losses == 1 else self._after(losses - 1)
            return self._move(row["id"], ASKED[row["wish"]], where, seen, losses=losses, not_before=wait)

    # Keeping

    def mark(self, job_id: str) -> bool:
        """Hide a job that is about to be deleted; False when it runs."""
        sql = "UPDATE jobs SET deleting = 1, key = NULL WHERE id = ? AND state <> 'running' RETURNING id"
        return bool(self._rows(sql, (job_id,)))

    def marked(self) -> list[str]:
        return [r["id"] for r in self._rows("SELECT id FROM jobs WHERE deleting")]

    def forget(self, job_id: str) -> None:
        """Remove the row of a marked job, after its files."""
        self._rows("DELETE FROM jobs WHERE id = ? AND deleting", (job_id,))

    def adopt(self) -> int:
        """Give run folders that have a copy of their job but no row their row back."""
        with self._lock:
            self._refresh()
            return files.adopt(self.conn, self.studio)

    def ended(self, states: Collection[State]) -> list[tuple[str, float]]:
        """(id, when it ended) of jobs in these states, those that ended first before the others."""
        marks = ", ".join("?" * len(states))
        sql = f"SELECT id, ended FROM jobs WHERE state IN ({marks}) AND NOT deleting ORDER BY ended, seq"
        return [tuple(r) for r in self._rows(sql, tuple(states))]

    # Workers

    def present(self, worker: str, devices: list[str], note: str = "") -> None:
        """A worker says that it is there, and in a sentence what keeps it from working."""
        sql = "INSERT OR REPLACE INTO workers (id, devices, note, seen) VALUES (?, ?, ?, ?)"
        self._rows(sql, (worker, json.dumps(devices), note, self.clock.wall()))

    def absent(self, worker: str) -> None:
        self._rows("DELETE FROM workers WHERE id = ?", (worker,))

    def workers(self, dead: Callable[[str], bool]) -> list[dict]:
        """Those that are alive: id, devices, note, seen."""
        known = [dict(r) for r in self._rows("SELECT * FROM workers")]
        recent = [w for w in known if abs(self.clock.wall() - w["seen"]) < 2 * LEASE and not dead(w["id"])]
        return [w | {"devices": json.loads(w["devices"])} for w in recent]


ASKED = {"cancel": State.CANCELLED, "pause": State.PAUSED, None: State.QUEUED}
