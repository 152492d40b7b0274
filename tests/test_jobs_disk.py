"""Disks that are full, read-only, locked or damaged: one clear sentence, nothing else harmed, and on it goes."""

import random
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import db
from jobs.job import Progress, State
from jobs.store import Store
from tests import small_disk
from tests.jobs_bench import chain, opened, until, worker
from tests.standin import expected

OUT = [{"path": "result.txt", "bytes": 1}]


def test_full_disk_while_the_command_writes(tmp_path):
    """T-JOB-09: tried again, then failed in a sentence; with space again, resumed from its checkpoint."""
    out = small_disk.run(
        """
        from jobs import store as stores
        from tests.jobs_bench import chain, opened, until, worker
        from tests.standin import expected
        stores.BACKOFF = 0.05
        store = opened(disk, free_gb=0.0)
        hand, job = worker(store), chain(store, "full", steps=8, every=100)
        until(lambda: store.get(job.id).state == "failed", hand.turn)
        print(store.get(job.id).error)
        print(sorted(p.name for p in store.run(job.id).iterdir() if "large" in p.name))
        after = chain(store, steps=3)
        until(lambda: store.get(after.id).state == "done", hand.turn)
        print((store.run(after.id) / "result.txt").read_text() == expected(3))
        """,
        tmp_path / "disk",
        "size=6m",
    )
    error, partial, next_ran = out.splitlines()
    assert error == "the checkpoint could not be written: no space left on device (3 times in a row)"
    assert (partial, next_ran) == ("[]", "True")


def test_full_disk_under_the_events_themselves(tmp_path):
    """A command that ends there says so on standard error alone; its worker finds out by itself."""
    out = small_disk.run(
        """
        from core import events
        log = events.Events(disk / "r")
        log.write("progress", stage="a", step=1)
        with (disk / "r" / events.FILE).open("ab") as f:  # to the end of its page, where there is room for more
            f.write(b"\\n" * (4096 - f.tell()))
        fill()
        events.failed(disk / "r", events.DISK_FULL)
        print([e["kind"] for e in events.lines(disk / "r")])
        empty()
        events.failed(disk / "r", events.DISK_FULL)
        print([e["kind"] for e in events.lines(disk / "r")])
        """,
        tmp_path / "disk",
        "size=1m",
    )
    assert out == "['progress']\n['progress', 'error']\n"


def test_full_disk_under_the_table_itself(tmp_path):
    """T-JOB-09: refused in a sentence; a running job waits for space and ends as it should, without a person."""
    out = small_disk.run(
        """
        import time
        from core import db
        from tests.jobs_bench import chain, opened, until, worker
        from tests.standin import expected
        store = opened(disk, free_gb=0.0)
        hand, job = worker(store), chain(store, steps=30, every=30, ms=30)
        until(lambda: (store.get(job.id).step or 0) > 3, hand.turn)
        fill()
        try:
            for _ in range(200):
                chain(store, owner="other")
        except db.DatabaseUnusable as e:
            print(e)
        troubles, end = 0, time.monotonic() + 2
        while time.monotonic() < end:
            try:
                hand.turn()
            except db.DatabaseUnusable as e:
                troubles += 1
        print(troubles > 0, store.get(job.id).state)
        empty()
        until(lambda: store.get(job.id).state == "done", hand.turn)
        print((store.run(job.id) / "result.txt").read_text() == expected(30), db.sound(store.conn))
        """,
        tmp_path / "disk",
        "size=3m",
    )
    refused, waited, ended = out.splitlines()
    assert "jobs.db is full: free some space, nothing was changed" in refused
    assert (waited, ended) == ("True running", "True True")


def test_no_file_can_be_made_any_more(tmp_path):
    """T-JOB-10: inodes run out."""
    out = small_disk.run(
        """
        from core import db
        from tests.jobs_bench import chain, opened
        store = opened(disk)
        held = 0
        try:
            while True:
                (disk / f"f{held}").touch()
                held += 1
        except OSError:
            pass
        try:
            chain(store)
            print("accepted", len(store.jobs()))
        except db.DatabaseUnusable as e:
            print("refused", len(store.jobs()))
        for n in range(held):
            (disk / f"f{n}").unlink()
        chain(store)
        print(len(store.jobs()) > 0, db.sound(store.conn))
        """,
        tmp_path / "disk",
        "size=4m,nr_inodes=60",
    )
    first, second = out.splitlines()
    assert first in ("accepted 1", "refused 0") and second == "True True"


def test_read_only_folder(tmp_path):
    """T-JOB-10: neither page, nor worker, nor command line starts, each says why in one line."""
    out = small_disk.run(
        """
        import subprocess
        from tests.jobs_bench import chain, opened
        store = opened(disk)
        chain(store)
        store.close()
        print(subprocess.run(["mount", "-o", "remount,ro", str(disk)]).returncode)
        for argv in (["jobs.worker", "--drain"], ["jobs", "submit", "distill", "--set", "dataset=mixture"]):
            p = subprocess.run([sys.executable, "-m", *argv, "--studio", str(disk)], capture_output=True, text=True)
            print(p.returncode != 0, len(p.stderr.splitlines()), p.stderr.strip())
        """,
        tmp_path / "disk",
        "size=4m",
    )
    mounted, work, submit = out.splitlines()
    assert mounted == "0"
    for line in (work, submit):
        assert line.startswith("True 1 jobs") and line.endswith("cannot be written: read-only file system")


def hold(folder, seconds):
    """Another program that keeps the table to itself for a while."""
    code = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); time.sleep(float(sys.argv[2])); c.execute('COMMIT')"
    )
    p = subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "jobs.db"), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert p.stdout.readline() == "held\n"
    return p


def locked(folder, seconds, busy, lease=None):
    """A job runs while the table is locked; returns the worker's troubles, and asserts that nothing came of them."""
    store = Store(folder, busy_seconds=busy)
    hand, job = worker(store), chain(store, steps=30, every=5, ms=20)
    until(lambda: (store.get(job.id).step or 0) > 3, hand.turn)
    holder, troubles = hold(folder, seconds), 0
    while holder.poll() is None:
        try:
            hand.turn()
        except db.DatabaseUnusable as e:
            assert str(e) == f"{folder / 'jobs.db'} is locked: another program has held it for too long, try again"
            troubles += 1
    holder.stdout.close()
    until(lambda: store.get(job.id).state is State.DONE, hand.turn)
    ended = store.get(job.id)
    assert (ended.attempt, ended.losses, ended.failures) == (1, 0, 0)
    assert (store.run(job.id) / "result.txt").read_text() == expected(30)
    return troubles


def test_a_table_that_is_locked_for_longer_than_one_waits_costs_no_job(tmp_path):
    """T-JOB-12: with a patience of 0.2 s instead of 30."""
    assert locked(tmp_path, seconds=2.0, busy=0.2) > 1


@pytest.mark.slow
def test_a_table_that_is_locked_for_twenty_seconds_is_not_even_noticed(tmp_path):
    assert locked(tmp_path, seconds=20.0, busy=db.BUSY_SECONDS) == 0


def test_no_update_is_lost_while_others_hold_the_table(tmp_path):
    store = opened(tmp_path)
    job = chain(store)
    claim = store.claim("worker", "cpu")
    done = threading.Thread(target=lambda: store.beat(claim, Progress(step=7)))
    holder = hold(tmp_path, 0.5)
    begun = time.monotonic()
    done.start()
    done.join()
    assert time.monotonic() - begun > 0.3 and holder.wait() == 0
    holder.stdout.close()
    assert store.get(job.id).step == 7


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A studio with jobs in every state, and the bytes of its table."""
    folder = tmp_path_factory.mktemp("history")
    store = opened(folder)
    for n in range(24):
        chain(store, owner=f"o{n % 3}", steps=n + 1)
    for end in (*["done"] * 4, *["failed"] * 3):
        claim = store.claim("worker", "cpu")
        store.done(claim, OUT) if end == "done" else store.failed(claim, "why")
    for job in store.jobs([State.QUEUED], limit=3):
        store.cancel(job.id)
    store.claim("worker", "cpu")
    states = {j.id: j.state for j in store.jobs()}
    store.close()
    return History(folder, (folder / "jobs.db").read_bytes(), states)


@dataclass(frozen=True)
class History:
    folder: Path
    data: bytes = field(repr=False)
    states: dict = field(repr=False)


def opens(history: History, data: bytes) -> tuple[dict, dict]:
    """(states before, states after opening a table of these bytes); what ran is queued after a rebuild."""
    folder, states = history.folder, history.states
    for old in folder.glob("jobs.db*"):
        old.unlink()
    (folder / "jobs.db").write_bytes(data)
    store = Store(folder, check=True)
    state_of = {j.id: j.state for j in store.jobs()}
    rebuilt = any(folder.glob("jobs.db.damaged-*"))
    store.close()
    queued = {i: State.QUEUED if s is State.RUNNING and rebuilt else s for i, s in states.items()}
    return queued, state_of


@pytest.mark.parametrize("at", [0, 16, 18, 28, 44, 52, 56, 60, 100])
def test_noise_in_the_header_of_the_table_loses_no_job(history, at):
    """T-JOB-11: page size, journal, length, schema format, encoding, version: each is another error of SQLite."""
    data = bytearray(history.data)
    data[at : at + 4] = b"\xa5\x5a\xa5\x5a"
    before, after = opens(history, bytes(data))
    assert after.keys() == before.keys()


@given(where=st.floats(0, 1, exclude_max=True), length=st.integers(1, 600), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_anywhere_in_the_table_loses_no_job(history, where, length, seed):
    """T-JOB-11: overwritten with noise: found at the start, set aside, rebuilt from the run folders."""
    data = bytearray(history.data)
    at = int(64 + where * (len(data) - 64))  # the header has a test of its own
    noise = random.Random(seed).randbytes(length)
    data[at : at + length] = noise[: len(data) - at]
    before, after = opens(history, bytes(data))
    if length >= 200:  # a byte or two within a text is no damage that SQLite can see
        assert after.keys() == before.keys()
    assert set(after) <= set(before) or length < 200


@pytest.mark.parametrize("old, new", [(b'"path"', b'"pa\xfeh"'), (b'"mode"', b'"mo"e"')])
def test_damage_that_only_a_reader_of_texts_sees(history, old, new):
    """SQLite does not look into texts: bytes that are no UTF-8, and JSON that is none."""
    assert old in history.data
    before, after = opens(history, history.data.replace(old, new))
    assert after == before and any(history.folder.glob("jobs.db.damaged-*"))


def test_damage_that_the_error_of_sqlite_quotes(history):
    """Within the schema it is quoted in what SQLite says, which then is no text either."""
    assert b"losses INTEGER" in history.data
    before, after = opens(history, history.data.replace(b"losses INTEGER", b'losses "\xa9NTEGE'))
    assert after.keys() == before.keys() and any(history.folder.glob("jobs.db.damaged-*"))


@pytest.mark.parametrize("keep", [0, 1, 100, 4096, 10_000])
def test_a_table_that_was_cut_short_loses_no_job(history, keep):
    """T-JOB-11."""
    before, after = opens(history, history.data[:keep])
    assert after.keys() == before.keys()
    ended = [i for i, s in before.items() if s in (State.DONE, State.FAILED, State.CANCELLED)]
    assert {i: after[i] for i in ended} == {i: before[i] for i in ended}


def test_a_worker_that_is_running_goes_on_with_the_rebuilt_table(tmp_path):
    """The table is set aside by another process while a command runs: its worker lets go, and takes it up again."""
    store = opened(tmp_path)
    hand, job = worker(store), chain(store, steps=40, every=4, ms=30)
    until(lambda: (store.get(job.id).step or 0) > 6, hand.turn)
    (tmp_path / "jobs.db").rename(tmp_path / "jobs.db.damaged-0")
    until(lambda: store.get(job.id).state is State.DONE, hand.turn)
    assert (store.run(job.id) / "result.txt").read_text() == expected(40)
    assert store.get(job.id).resumed_from >= 4


def test_a_missing_studio_is_made(tmp_path):
    store = opened(tmp_path / "not" / "there")
    job = chain(store)
    shutil.rmtree(store.run(job.id))  # and so is a run folder that somebody removed
    hand = worker(store)
    until(lambda: store.get(job.id).state is State.DONE, hand.turn)


def test_the_command_line_on_a_locked_table(tmp_path, monkeypatch, capsys):
    from jobs import __main__ as cli

    opened(tmp_path)
    monkeypatch.setenv("STILL_LIFE_STUDIO", str(tmp_path))
    monkeypatch.setattr(cli, "Store", lambda: Store(busy_seconds=0.1))
    holder = hold(tmp_path, 1.0)
    assert cli.main(["submit", "distill", "--set", "dataset=mixture"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    holder.wait()
    holder.stdout.close()
