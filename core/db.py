"""Opening SQLite: settings by library version, migrations by `user_version`, faults as one sentence.

Every process that writes (page, worker, command line) opens the file itself. Write-ahead logging before
3.51.3 can corrupt a file that two connections write and checkpoint at once, so older libraries get a rollback
journal (https://www.sqlite.org/wal.html, "the WAL-reset bug").
"""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

WAL_IS_SOUND = (3, 51, 3)
BUSY_SECONDS = 30.0
DISK_FAULTS = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR)


class DatabaseUnusable(RuntimeError):
    """The database cannot be used as it is; the message is one sentence for people."""


class DatabaseDamaged(DatabaseUnusable):
    """The file is no longer a sound SQLite database."""


def connect(path: Path, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection in autocommit with rows by name; its folder is made where it is missing.

    `busy_seconds`: how long a statement waits for another process before DatabaseUnusable. Use `transaction`
    for several statements and `explained` around single ones. Threads that share it need a lock of their own.
    """
    path = Path(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        conn = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        conn.row_factory = sqlite3.Row
        try:
            _configure(conn)
        except sqlite3.Error:
            conn.close()
            raise
        except UnicodeDecodeError as e:  # SQLite quotes a damaged schema, whose bytes are no text
            conn.close()
            raise DatabaseDamaged(f"{path} is damaged (its schema is no text)") from e
    return conn


def journal_for(version: tuple[int, ...]) -> str:
    """The journal mode that is sound with this version of the library."""
    return "wal" if version >= WAL_IS_SOUND else "truncate"


def _configure(conn: sqlite3.Connection) -> None:
    conn.execute("PRAGMA foreign_keys = ON")
    conn.execute("PRAGMA synchronous = FULL")
    wanted = journal_for(sqlite3.sqlite_version_info)
    if conn.execute("PRAGMA journal_mode").fetchone()[0] != wanted:
        conn.execute(f"PRAGMA journal_mode = {wanted}")


@contextlib.contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing, with the write lock taken at the start; rolled back when the block raises."""
    with explained(conn):
        conn.execute("BEGIN IMMEDIATE")
        try:
            yield conn
            conn.execute("COMMIT")
        except BaseException:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            raise


def migrate(conn: sqlite3.Connection, steps: Sequence[str]) -> int:
    """Bring the schema to version len(steps) and return the version that was found.

    `steps[n]` is the SQL from version n to n + 1. Each step and its number are one transaction: a kill leaves
    a whole version, and of two processes that start at once one migrates and the other finds it done. A file
    from a newer program is refused, not guessed at.
    """
    with explained(conn):
        first = conn.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= first < 1000:  # no number that this program ever wrote
        raise DatabaseDamaged(f"{path_of(conn)} is damaged (schema {first})")
    if first > len(steps):
        raise DatabaseUnusable(
            f"{path_of(conn)} was written by a newer version of this program (schema {first}, this one knows "
            f"{len(steps)}): update the program or use another studio folder"
        )
    for n in range(first, len(steps)):
        with transaction(conn):
            if conn.execute("PRAGMA user_version").fetchone()[0] != n:
                continue
            for statement in statements(steps[n]):
                conn.execute(statement)
            conn.execute(f"PRAGMA user_version = {n + 1}")
    return first


def statements(script: str) -> list[str]:
    """The statements of a script, triggers whole."""
    out, begun = [], ""
    for piece in script.split(";"):
        begun += piece + ";"
        if sqlite3.complete_statement(begun):
            out.append(begun)
            begun = ""
    return [s for s in out if s.strip(" \n;")]


def sound(conn: sqlite3.Connection) -> bool:
    """True when SQLite finds nothing wrong with the file, its indexes and its constraints."""
    try:
        return conn.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok"
    except sqlite3.DatabaseError as e:
        if damaged(e):
            return False
        raise


def path_of(conn: sqlite3.Connection) -> str:
    return conn.execute("PRAGMA database_list").fetchone()[2] or "the database in memory"


def _code(e: sqlite3.Error) -> int:
    """SQLite's primary result code; -1 for errors of the Python module itself."""
    code = getattr(e, "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


def damaged(e: sqlite3.Error) -> bool:
    """True for SQLite's errors about a file with wrong bytes. A wrong header has no code of its own, only a text."""
    if _code(e) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return True
    return str(e).startswith(("Could not decode", "unsupported file format", "attached databases must use the same"))


def _sentence(e: sqlite3.Error, where: object) -> DatabaseUnusable | None:
    texts = {
        sqlite3.SQLITE_BUSY: f"{where} is locked: another program has held it for too long, try again",
        sqlite3.SQLITE_LOCKED: f"{where} is locked: another program has held it for too long, try again",
        sqlite3.SQLITE_READONLY: f"{where} cannot be written: the file or its folder is read-only",
        sqlite3.SQLITE_FULL: f"the disk that holds {where} is full: free some space, nothing was changed",
        sqlite3.SQLITE_CANTOPEN: f"{where} cannot be opened: its folder is missing or may not be written",
        sqlite3.SQLITE_IOERR: f"the disk that holds {where} gave a read or write error ({e})",
    }
    if damaged(e):
        return DatabaseDamaged(f"{where} is damaged ({e})")
    return DatabaseUnusable(texts[_code(e)]) if _code(e) in texts else None


@contextlib.contextmanager
def explained(where: sqlite3.Connection | Path) -> Iterator[None]:
    """Turns SQLite's errors about disks, locks and damage into DatabaseUnusable; programming errors pass through."""
    try:
        yield
    except sqlite3.Error as e:
        name = where if isinstance(where, Path) else "the database"
        if isinstance(where, sqlite3.Connection):
            with contextlib.suppress(sqlite3.Error):
                name = path_of(where)
        known = _sentence(e, name)
        if known is None:
            raise
        raise known from e
    except OSError as e:
        if e.errno not in DISK_FAULTS:
            raise
        reason = os.strerror(e.errno).lower()
        raise DatabaseUnusable(f"{e.filename or where} cannot be written: {reason}") from e
