"""The files around the table: the lock for opening it, and a copy of each row in the job's run folder.

The copies (`runs/ID/job.json`) are not read while the table is sound. When jobs.db is damaged or missing, it is rebuilt
from them, so that no job and no result is lost.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from core import db
from core.files import whole_file
from jobs import schema
from jobs.job import Job, State

log = logging.getLogger("jobs")
NAME, COPY = "jobs.db", "job.json"
FORGOTTEN = {"seq", "wish", "fence", "worker", "device", "lease_boot", "lease_mono", "lease_wall", "deleting"}


def inode(studio: Path) -> int:
    """The inode of jobs.db, which shows whether it is still the opened file; 0 where it is missing."""
    try:
        return (studio / NAME).stat().st_ino
    except OSError:
        return 0


@contextlib.contextmanager
def _alone(studio: Path) -> Iterator[None]:
    """Within: no other process opens, sets aside or rebuilds the table."""
    with db.explained(studio):
        studio.mkdir(parents=True, exist_ok=True)
        lock = (studio / "jobs.lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def open_jobs(studio: Path, busy_seconds: float, check: bool) -> tuple[sqlite3.Connection, int]:
    """A migrated connection and the inode of its file. A damaged file is set aside and rebuilt from the copies.

    check: read the whole file for damage first, which takes about a second for 100,000 jobs.
    """
    path = studio / NAME
    with _alone(studio):
        try:
            conn, version = _migrated(path, busy_seconds, check)
        except db.DatabaseDamaged as e:
            log.error("%s; it is set aside as %s and rebuilt from the run folders", e, _set_aside(path).name)
            conn, version = _migrated(path, busy_seconds, check=False)
        if version == 0:
            adopt(conn, studio)
        return conn, inode(studio)


def _migrated(path: Path, busy_seconds: float, check: bool) -> tuple[sqlite3.Connection, int]:
    conn = db.connect(path, busy_seconds)
    try:
        version = db.migrate(conn, schema.STEPS)
        if check and not (db.sound(conn) and _readable(conn)):
            raise db.DatabaseDamaged(f"{path} is damaged")
    except db.DatabaseUnusable:
        conn.close()
        raise
    except sqlite3.Error as e:  # a damaged schema gives an error of SQL
        conn.close()
        raise db.DatabaseDamaged(f"{path} is damaged ({e})") from e
    return conn, version


def _readable(conn: sqlite3.Connection) -> bool:
    """Whether every row is a valid job, which SQLite itself can't check."""
    try:
        for row in conn.execute("SELECT * FROM jobs"):
            Job.from_row(row)
    except (ValueError, KeyError, TypeError, sqlite3.DatabaseError):
        return False
    return True


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{NAME}.damaged-{time.time_ns()}")
    path.rename(aside)
    for suffix in ("-journal", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(NAME + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def write_copy(run: Path, row: sqlite3.Row) -> None:
    """Replace the copy of a row atomically. On a full disk the older copy stays, and the table is used on."""
    data = dict(row) | {"request": json.loads(row["request"]), "outputs": json.loads(row["outputs"])}
    try:
        run.mkdir(parents=True, exist_ok=True)
        with whole_file(run / COPY, lasting=True) as part:
            part.write_text(json.dumps(data, indent=1), encoding="utf-8")
    except OSError as e:
        why = os.strerror(e.errno or errno.EIO)
        log.warning("the copy of a job could not be written: %s", why, extra={"job": row["id"]})


def adopt(conn: sqlite3.Connection, studio: Path) -> int:
    """Put jobs that have a copy but no row back into the table; those that ran or waited are queued. Returns their
    number.

    Claims are then numbered from the unix time, far above any number that a worker of the lost table holds.
    """
    columns = {r["name"] for r in conn.execute("PRAGMA table_info(jobs)")} - FORGOTTEN
    known, copies = {r["id"] for r in conn.execute("SELECT id FROM jobs")}, []
    for path in (studio / "runs").glob(f"*/{COPY}"):
        if path.parent.name in known:
            continue
        try:
            copy = json.loads(path.read_text(encoding="utf-8"))
            copies.append(_row_of({k: copy[k] for k in columns}, path.parent.name))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
            log.warning("%s is passed over: %s", path, e)
    count = 0
    for row in sorted(copies, key=lambda r: r["created"]):
        names = ", ".join(row)
        sql = f"INSERT OR IGNORE INTO jobs ({names}) VALUES ({', '.join('?' * len(row))})"
        try:
            with db.explained(conn):
                count += conn.execute(sql, tuple(row.values())).rowcount
        except sqlite3.IntegrityError as e:
            log.warning("the copy of a job is passed over: %s", e, extra={"job": row["id"]})
    return count


def _row_of(copy: dict, folder: str) -> dict:
    """The row of a copy. A copy that a person edited may raise KeyError, TypeError, ValueError or AttributeError."""
    if copy["id"] != folder:
        raise ValueError(f"it is of job {copy['id']}")
    lives = State(copy["state"]) in (State.QUEUED, State.RUNNING)
    row = copy | {"request": json.dumps(copy["request"]), "outputs": json.dumps(copy["outputs"])}
    row |= {"state": "queued" if lives else copy["state"], "created": float(copy["created"])}
    return row | {"fence": int(time.time())}


def size(folder: Path) -> int:
    """The bytes of all files in a folder; files that vanish meanwhile don't count."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_size
    return total


def free(folder: Path) -> int:
    """The free bytes on the disk of a folder."""
    return shutil.disk_usage(folder).free
