"""Opening SQLite: settings, migrations from old files, and every fault as one sentence."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from core import db

V1 = "CREATE TABLE pictures (id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
V2 = """
ALTER TABLE pictures ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER seen AFTER INSERT ON pictures BEGIN
  UPDATE pictures SET seen = 1; UPDATE pictures SET seen = 2; END;
"""


def test_journal_is_chosen_by_the_version_of_the_library(tmp_path):
    assert db.journal_for((3, 40, 1)) == db.journal_for((3, 51, 2)) == "truncate"
    assert db.journal_for((3, 51, 3)) == db.journal_for((3, 60, 0)) == "wal"
    conn = db.connect(tmp_path / "new" / "a.db")
    assert conn.execute("PRAGMA journal_mode").fetchone()[0] == db.journal_for(sqlite3.sqlite_version_info)
    assert conn.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert conn.execute("PRAGMA foreign_keys").fetchone()[0] == 1


def test_migration_of_an_old_file_keeps_its_rows_and_happens_once(tmp_path):
    old = db.connect(tmp_path / "a.db")
    assert db.migrate(old, [V1]) == 0
    old.execute("INSERT INTO pictures (name) VALUES ('fox')")
    old.close()
    conn = db.connect(tmp_path / "a.db")
    assert db.migrate(conn, [V1, V2]) == 1
    assert db.migrate(conn, [V1, V2]) == 2
    conn.execute("INSERT INTO pictures (name) VALUES ('owl')")
    assert [tuple(r) for r in conn.execute("SELECT name, seen FROM pictures")] == [("fox", 2), ("owl", 2)]


def test_a_step_that_fails_leaves_the_version_before_it(tmp_path):
    conn = db.connect(tmp_path / "a.db")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        db.migrate(conn, [V1, "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1);"])
    assert conn.execute("PRAGMA user_version").fetchone()[0] == 1
    assert conn.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'b'").fetchone()[0] == 0
    assert db.migrate(conn, [V1, V2]) == 1


def test_killed_in_a_migration_it_is_made_whole_at_the_next_start(tmp_path):
    code = (
        "import os, signal; from core import db\n"
        f"conn = db.connect({str(tmp_path / 'a.db')!r})\n"
        "conn.create_function('die', 0, lambda: os.kill(os.getpid(), signal.SIGKILL))\n"
        f"db.migrate(conn, [{V1!r}, 'CREATE TABLE half (x); SELECT die();'])"
    )
    root = Path(__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == -9
    conn = db.connect(tmp_path / "a.db")
    assert db.migrate(conn, [V1, "CREATE TABLE half (x);"]) == 1


def test_a_file_from_a_newer_program_is_refused(tmp_path):
    db.migrate(db.connect(tmp_path / "a.db"), [V1, V2])
    with pytest.raises(db.DatabaseUnusable, match=r"newer version .*schema 2, this one knows 1"):
        db.migrate(db.connect(tmp_path / "a.db"), [V1])


def _start(path: Path, barrier) -> None:
    barrier.wait()
    conn = db.connect(path)
    db.migrate(conn, [V1, V2])
    conn.execute("INSERT INTO pictures (name) VALUES ('x')")


def test_processes_that_start_at_once_migrate_once(tmp_path):
    ctx = multiprocessing.get_context("spawn")
    barrier = ctx.Barrier(4)
    starters = [ctx.Process(target=_start, args=(tmp_path / "a.db", barrier)) for _ in range(4)]
    for p in starters:
        p.start()
    for p in starters:
        p.join(30)
    assert [p.exitcode for p in starters] == [0] * 4
    assert db.connect(tmp_path / "a.db").execute("SELECT COUNT(*) FROM pictures").fetchone()[0] == 4


def test_a_step_that_another_process_took_meanwhile_is_not_taken_again(tmp_path):
    other, mine, seen = db.connect(tmp_path / "a.db"), db.connect(tmp_path / "a.db"), []
    other.execute("BEGIN IMMEDIATE")
    waiting = threading.Thread(target=lambda: seen.append(db.migrate(mine, [V1, V2])))
    waiting.start()  # it reads version 0, then waits for the lock
    time.sleep(0.3)
    other.execute(V1)
    other.execute("PRAGMA user_version = 1")
    other.execute("COMMIT")
    waiting.join()
    assert seen == [0]
    assert mine.execute("PRAGMA user_version").fetchone()[0] == 2


def test_a_transaction_is_all_or_nothing(tmp_path):
    conn = db.connect(tmp_path / "a.db")
    db.migrate(conn, [V1])
    with pytest.raises(KeyError), db.transaction(conn):
        conn.execute("INSERT INTO pictures (name) VALUES ('fox')")
        raise KeyError
    assert conn.execute("SELECT COUNT(*) FROM pictures").fetchone()[0] == 0


def test_locked_by_another_process_is_one_sentence(tmp_path):
    holder = db.connect(tmp_path / "a.db")
    db.migrate(holder, [V1])
    waiting = db.connect(tmp_path / "a.db", busy_seconds=0.1)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(db.DatabaseUnusable, match="a.db is locked: another program"), db.explained(waiting):
        waiting.execute("INSERT INTO pictures (name) VALUES ('x')")
    holder.execute("COMMIT")
    waiting.execute("INSERT INTO pictures (name) VALUES ('x')")


def test_read_only_file_is_one_sentence(tmp_path):
    db.migrate(db.connect(tmp_path / "a.db"), [V1])
    conn = sqlite3.connect(f"file:{tmp_path / 'a.db'}?mode=ro", uri=True, isolation_level=None)
    with pytest.raises(db.DatabaseUnusable, match="read-only"), db.transaction(conn):
        conn.execute("INSERT INTO pictures (name) VALUES ('x')")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(db.DatabaseUnusable, match="cannot be written: not a directory"):
        db.connect(tmp_path / "file" / "studio" / "a.db")


def test_full_disk_is_one_sentence_and_changes_nothing(tmp_path):
    conn = db.connect(tmp_path / "a.db")
    db.migrate(conn, [V1])
    conn.execute("INSERT INTO pictures (name) VALUES ('fox')")
    conn.execute("PRAGMA max_page_count = 4")  # SQLite's own quota gives the same code as a full disk
    with pytest.raises(db.DatabaseUnusable, match="full: free some space"), db.transaction(conn):
        conn.execute("INSERT INTO pictures (name) VALUES (?)", ("x" * 100_000,))
    assert [r["name"] for r in conn.execute("SELECT name FROM pictures")] == ["fox"]


def test_damage_is_one_sentence(tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(os.urandom(8192))
    with pytest.raises(db.DatabaseDamaged, match="damaged"):
        db.connect(path)


def test_sound_finds_a_damaged_page(tmp_path):
    path = tmp_path / "a.db"
    conn = db.connect(path)
    db.migrate(conn, [V1])
    conn.executemany("INSERT INTO pictures (name) VALUES (?)", [("x" * 200,)] * 500)
    assert db.sound(conn)
    conn.close()
    with path.open("r+b") as f:
        f.seek(4096 * 3)
        f.write(b"\xff" * 200)
    assert not db.sound(db.connect(path))
