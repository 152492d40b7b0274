"""The table of jobs in the studio's jobs.db, which all processes share.

A worker claims a job by one statement and holds it by a lease that it renews. Claims are numbered, and every write of a
worker names its claim: a worker whose lease ran out changes nothing and gets `Fenced`. A job is done only when its
worker reports it and its outputs exist.
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

LEASE = 60.0  # seconds; long enough that a database that is locked for 20 s loses no lease
BACKOFF, BACKOFF_CAP = 2.0, 300.0  # seconds after the first failure, doubled by each further one
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
PRIORITIES = range(-10, 11)


class Fenced(RuntimeError):
    """The worker no longer holds the job, so it must not write any more."""


class Store:
    """The table. Safe between threads; every process opens its own."""

    def __init__(
        self,
        studio: Path | None = None,
        clock: Clock | None = None,
        limits: Limits | None = None,
        busy_seconds: float = db.BUSY_SECONDS,
        check: bool = False,
    ):
        """Open the table. A damaged file is set aside and rebuilt from the run folders. Raises db.DatabaseUnusable.

        check: look for damage in the whole file, as long-running programs do at their start.
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
        """The run folder of a job."""
        return self.studio / "runs" / job_id

    # Statements

    def _refresh(self) -> None:
        """Open the file again where another process set it aside, or a person removed it."""
        if not self.conn.in_transaction and files.inode(self.studio) != self.inode:
            self.conn.close()
            self._open()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Within: one transaction, also when nested."""
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
        """Make one legal move and write the copy; None where the row is not, or no longer, in a state that allows
        it."""
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

    # For page, HTTP and command line

    def submit(
        self,
        kind: str,
        request: dict,
        owner: str = "local",
        priority: int = 0,
        key: str | None = None,
        parent: str | None = None,
    ) -> Job:
        """Queue a validated request. The same `key` of the same owner always gives the same job.

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
        """The job of an id. Raises ValueError where there is none."""
        rows = self._rows("SELECT * FROM jobs WHERE id = ? AND NOT deleting", (job_id,))
        if not rows:
            raise ValueError(f"there is no job {job_id!r}")
        return Job.from_row(rows[0])

    def find(self, start: str) -> Job:
        """The job whose id begins with this text. Raises ValueError where there is none, or more than one."""
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
        """A page of jobs, the newest first. `before`: the `seq` of the last job of the page before."""
        page = []
        for state in states:  # one index scan each, so that the time does not grow with the history
            sql = "SELECT * FROM jobs WHERE state = ? AND NOT deleting AND seq < ?"
            values: list[Any] = [state, before or 2**62]
            if owner is not None:
                sql, values = sql + " AND owner = ?", [*values, owner]
            page += self._rows(f"{sql} ORDER BY seq DESC LIMIT ?", (*values, limit))
        return [Job.from_row(r) for r in sorted(page, key=lambda r: r["seq"], reverse=True)[:limit]]

    def waiting(self) -> bool:
        """Whether a job is queued. Cheap, so that idle workers don't take the lock."""
        return bool(self._rows("SELECT 1 FROM jobs WHERE state = 'queued' LIMIT 1"))

    def counts(self, owner: str | None = None) -> dict[State, int]:
        """The number of jobs in each state, of one owner or of all."""
        whose, values = ("", ()) if owner is None else (" WHERE owner = ?", (owner,))
        by_state = dict(tuple(r) for r in self._rows(f"SELECT state, COUNT(*) FROM jobs{whose} GROUP BY state", values))
        return {state: by_state.get(state, 0) for state in State}

    def totals(self) -> dict[str, float]:
        """The counts since the table was made: attempts, starts, wait_seconds, leases_lost, checkpoints, …"""
        return {r["name"]: r["value"] for r in self._rows("SELECT name, value FROM totals")}

    def count(self, **more: float) -> None:
        """Add to counts that the table can't make by itself."""
        with self._writing():
            for name, value in more.items():
                self._rows("UPDATE totals SET value = value + ? WHERE name = ?", (value, name))

    def oldest_wait(self) -> float:
        """Seconds since the longest waiting job was submitted; 0 where none waits."""
        oldest = self._rows("SELECT MIN(created) FROM jobs WHERE state = 'queued' AND NOT deleting")[0][0]
        return 0.0 if oldest is None else max(0.0, self.clock.wall() - oldest)

    def used(self) -> int:
        """The bytes of all run folders, as last measured."""
        return self._rows("SELECT COALESCE(SUM(bytes), 0) FROM jobs WHERE bytes > 0")[0][0]

    def cancel(self, job_id: str) -> Job:
        """End a job and keep its checkpoints. Where it runs, its worker reads this within a second."""
        return self._ask(job_id, "cancel", State.CANCELLED)

    def pause(self, job_id: str) -> Job:
        """Stop after a checkpoint; `resume` goes on from there."""
        return self._ask(job_id, "pause", State.PAUSED)

    def _ask(self, job_id: str, wish: str, to: State) -> Job:
        """Request a wish. Raises ValueError where the job's state does not allow it; a repeated request is no error."""
        with self._writing():
            job = self.get(job_id)
            if job.state is State.RUNNING:  # cancel replaces pause, not the other way round
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

        On a running job it withdraws a wish to pause.
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

    # For workers: every call names the claim

    def claim(self, worker: str, device: str) -> Job | None:
        """The next job for a free device, or None. It is one statement, so a job is claimed once."""
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
        """Renew the lease and write the progress; returns the wish. Raises Fenced.

        ran: seconds since the last beat; size: bytes of the run folder.
        """
        progress_fields = asdict(progress or Progress())
        own = {"id": job.id, "fence": job.fence, "ran": ran, "bytes": size}
        rows = self._rows(schema.BEAT, progress_fields | own | self._lease())
        if not rows:
            raise Fenced(f"job {job.id}, claim {job.fence}")
        return rows[0]["wish"]

    def wish(self, job: Job) -> str | None:
        """The wish for a running job, read without writing. Raises Fenced."""
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
        """Mark a job as done. Raises ValueError without outputs, and Fenced."""
        if not outputs:
            raise ValueError(f"job {job.id} has no outputs, so it is not done")
        return self._end(job, State.DONE, outputs=json.dumps(outputs), seconds_left=0.0)

    def failed(self, job: Job, error: str) -> Job:
        """Mark a job as failed for good, as another attempt would not help. Raises Fenced."""
        return self._end(job, State.FAILED, error=error)

    def stopped(self, job: Job) -> Job:
        """The command stopped with a checkpoint, by a wish or because its worker stops: move the job on. Raises
        Fenced."""
        with self._writing():
            return self._end(job, ASKED[self.wish(job)])

    def retry(self, job: Job, error: str) -> Job:
        """The command failed in a way that may pass: queue the job again after a while, unless there is a wish or it
        failed too often in a row. Raises Fenced."""
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
        """Whether a lease ran out: by the monotonic clock of this boot, for leases of another boot by the wall clock. A
        lease further ahead than any lease lasts has run out too."""
        if row["lease_boot"] == self.clock.boot:
            now, until = self.clock.mono(), row["lease_mono"]
        else:
            now, until = self.clock.wall(), row["lease_wall"]
        return not now <= until <= now + LEASE + 1

    def _take(self, row: Any) -> Job | None:
        """Take a job from its worker; None where the worker renewed the lease first, which the same statement
        checks."""
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
        """Hide a job that is about to be deleted; False where it runs."""
        sql = "UPDATE jobs SET deleting = 1, key = NULL WHERE id = ? AND state <> 'running' RETURNING id"
        return bool(self._rows(sql, (job_id,)))

    def marked(self) -> list[str]:
        return [r["id"] for r in self._rows("SELECT id FROM jobs WHERE deleting")]

    def forget(self, job_id: str) -> None:
        """Remove the row of a marked job, after its files are gone."""
        self._rows("DELETE FROM jobs WHERE id = ? AND deleting", (job_id,))

    def adopt(self) -> int:
        """Put jobs back that have a run folder with a copy but no row. Returns their number."""
        with self._lock:
            self._refresh()
            return files.adopt(self.conn, self.studio)

    def ended(self, states: Collection[State]) -> list[tuple[str, float]]:
        """(id, time of its end) of jobs in these states, the earliest first."""
        marks = ", ".join("?" * len(states))
        sql = f"SELECT id, ended FROM jobs WHERE state IN ({marks}) AND NOT deleting ORDER BY ended, seq"
        return [tuple(r) for r in self._rows(sql, tuple(states))]

    # Workers

    def present(self, worker: str, devices: list[str], note: str = "") -> None:
        """Write that a worker is alive, with a sentence on what keeps it from working, if anything does."""
        sql = "INSERT OR REPLACE INTO workers (id, devices, note, seen) VALUES (?, ?, ?, ?)"
        self._rows(sql, (worker, json.dumps(devices), note, self.clock.wall()))

    def absent(self, worker: str) -> None:
        self._rows("DELETE FROM workers WHERE id = ?", (worker,))

    def workers(self, dead: Callable[[str], bool]) -> list[dict]:
        """The workers that are alive: id, devices, note, seen."""
        known = [dict(r) for r in self._rows("SELECT * FROM workers")]
        recent = [w for w in known if abs(self.clock.wall() - w["seen"]) < 2 * LEASE and not dead(w["id"])]
        return [w | {"devices": json.loads(w["devices"])} for w in recent]


ASKED = {"cancel": State.CANCELLED, "pause": State.PAUSED, None: State.QUEUED}
