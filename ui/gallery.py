"""The gallery: pictures as PNG files in the studio, with an index in `gallery.db`.

A PNG carries its request, so the index can be rebuilt from the files. On a Space each picture belongs to one browser
(`owner`); at home the owner is empty and all pictures are shown.
"""

import contextlib
import json
import os
import secrets
import sqlite3
import threading
import time
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageChops
from PIL.Image import Image

from core import db
from core.files import whole_file
from models.picture import open_png, thumbnail
from models.prompt import SELECTORS, spelt
from models.request import text_of

ALIKE = 2  # grey levels by which two paintings of the same picture may differ
THUMB = 256  # pixels on the longer side
NAME = 120  # most bytes of the prompt in a file's name; file systems take 255 in all
PAGE = 48  # most pictures of a listing
SCHEMA = (
    """
    CREATE TABLE pictures (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, made REAL NOT NULL, prompt TEXT NOT NULL, model TEXT NOT
        NULL, request TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
        favourite INTEGER NOT NULL DEFAULT 0, thumb BLOB NOT NULL
    );
    CREATE INDEX pictures_by_owner ON pictures (owner, id DESC);
    """,
)


@dataclass(frozen=True)
class Item:
    """One picture in a listing."""

    id: str
    made: float  # unix seconds
    request: dict[str, Any]
    width: int
    height: int
    favourite: bool
    thumb: bytes  # WebP


class Gallery:
    """The gallery of a studio. `read`: PNG bytes -> request as a dict, or ValueError; it rebuilds missing rows.

    `keep`: where more pictures than this are stored, the oldest that are no favourites are deleted (None: none are).
    """

    def __init__(self, studio: Path, read: Callable[[bytes], dict[str, Any]], keep: int | None = None):
        self.folder = studio / "pictures"
        self.path = studio / "gallery.db"
        self.keep = keep
        self._lock = threading.RLock()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._conn = self._open()
        self._adopt(read)

    def _open(self) -> sqlite3.Connection:
        """A sound, migrated database. A damaged one is set aside, as it can be rebuilt from the pictures."""
        try:
            conn = _connect(self.path)
            if db.sound(conn):
                db.migrate(conn, SCHEMA)
                return conn
            conn.close()
        except db.DatabaseDamaged:
            pass
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self.path}{suffix}", f"{self.path}{suffix}.damaged")
        conn = _connect(self.path)
        db.migrate(conn, SCHEMA)
        return conn

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, db.explained(self._conn):
            yield self._conn

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, db.transaction(self._conn) as conn:
            yield conn

    def add(self, png: bytes, request: dict[str, Any], owner: str = "") -> str:
        """Add a picture; returns its id. The file is complete before its row exists."""
        made = time.time()
        id = f"{int(made * 1000):012x}-{secrets.token_hex(4)}"
        target = self._file(id)
        try:
            with whole_file(target) as part:
                part.write_bytes(png)
        except OSError as e:
            raise ValueError(f"the picture can't be kept: {os.strerror(e.errno or 0).lower()}") from e
        with self._writing() as conn:
            _insert(conn, id, png, request, owner, made, known="REPLACE")  # a new process may have adopted the file
        self._prune()
        return id

    def same(self, shown: Image, request: dict[str, Any], owner: str = "") -> str | None:
        """The id of a stored picture of this request that looks the same. Paintings in other batches differ by a grey
        level."""
        where = "owner = ? AND prompt = ? AND request = ?"
        values = (owner, request["prompt"], json.dumps(request))
        with self._reading() as conn:
            ids = [r["id"] for r in conn.execute(f"SELECT id FROM pictures WHERE {where}", values)]
        for id in ids:
            with contextlib.suppress(OSError, ValueError):
                kept = open_png(self._file(id).read_bytes()).convert("RGB")
                apart = ImageChops.difference(kept, shown.convert("RGB"))
                if kept.size == shown.size and np.asarray(apart).max() <= ALIKE:
                    return id
        return None

    def _adopt(self, read: Callable[[bytes], dict[str, Any]]) -> None:
        """Add rows for PNGs without one, where the database was lost or a person added files. PNGs from other programs
        are left out."""
        with self._reading() as conn:
            known = {r["id"] for r in conn.execute("SELECT id FROM pictures")}
        orphans = [p for p in sorted(self.folder.glob("*.png")) if p.stem not in known and not p.is_symlink()]
        for start in range(0, len(orphans), PAGE):  # in portions, so that other processes need not wait
            with self._writing() as conn:
                for path in orphans[start : start + PAGE]:
                    with contextlib.suppress(ValueError, OSError):
                        png = path.read_bytes()
                        # IGNORE: a process that adds the file at this moment knows its owner
                        _insert(conn, path.stem, png, read(png), "", path.stat().st_mtime, known="IGNORE")

    def _prune(self) -> None:
        if self.keep is None:
            return
        with self._writing() as conn:
            order = "ORDER BY favourite DESC, id DESC LIMIT -1 OFFSET ?"
            extra = [r["id"] for r in conn.execute(f"SELECT id FROM pictures {order}", (self.keep,))]
            conn.executemany("DELETE FROM pictures WHERE id = ?", [(id,) for id in extra])
        for id in extra:
            self._file(id).unlink(missing_ok=True)

    def search(
        self,
        owner: str = "",
        text: str = "",
        favourites: bool = False,
        before: str | None = None,
        limit: int = PAGE,
    ) -> tuple[list[Item], int]:
        """Newest first, and how many there are in all. `before`: the last id of the page before this one."""
        where, values = _where(owner, text, favourites)
        page, more = where, list(values)
        if before is not None:
            page, more = where + " AND id < ?", [*values, before]
        with self._reading() as conn:
            total = conn.execute(f"SELECT COUNT(*) FROM pictures WHERE {where}", values).fetchone()[0]
            rows = conn.execute(
                f"SELECT * FROM pictures WHERE {page} ORDER BY id DESC LIMIT ?",
                [*more, max(1, min(limit, PAGE))],
            ).fetchall()
        return [_item(r) for r in rows], total

    def get(self, id: str, owner: str = "") -> tuple[bytes, dict[str, Any]]:
        """The PNG and its request. Raises ValueError where there is none, or where it is another owner's."""
        with self._reading() as conn:
            row = conn.execute("SELECT * FROM pictures WHERE id = ? AND owner = ?", (id, owner)).fetchone()
        if row is None:
            raise ValueError("this picture isn't in your gallery")
        try:
            return self._file(row["id"]).read_bytes(), json.loads(row["request"])
        except FileNotFoundError:
            raise ValueError("the file of this picture was removed from the studio folder") from None

    def favourite(self, id: str, on: bool, owner: str = "") -> None:
        with self._writing() as conn:
            values = (int(on), id, owner)
            if not conn.execute("UPDATE pictures SET favourite = ? WHERE id = ? AND owner = ?", values).rowcount:
                raise ValueError("this picture isn't in your gallery")

    def delete(self, id: str, owner: str = "") -> None:
        """Delete a picture: first the row, then the file, so that after a kill in between the file is adopted again."""
        with self._writing() as conn:
            if not conn.execute("DELETE FROM pictures WHERE id = ? AND owner = ?", (id, owner)).rowcount:
                raise ValueError("this picture isn't in your gallery")
        self._file(id).unlink(missing_ok=True)

    def zip(self, target: Path, owner: str = "", text: str = "", favourites: bool = False) -> int:
        """Write every picture that `search` finds into one ZIP at `target`; returns their number."""
        where, values = _where(owner, text, favourites)
        with self._reading() as conn:
            rows = conn.execute(f"SELECT id, request FROM pictures WHERE {where} ORDER BY id", values).fetchall()
        count = 0
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for row in rows:
                with contextlib.suppress(FileNotFoundError):
                    archive.write(self._file(row["id"]), f"{file_name(json.loads(row['request']))}-{row['id']}.png")
                    count += 1
        return count

    def close(self) -> None:
        with self._lock:
            self._conn.close()

    def _file(self, id: str) -> Path:
        """The file of an id. The id comes from the database or from `add`, never from a visitor's text."""
        return self.folder / f"{id}.png"


def _insert(
    conn: sqlite3.Connection, id: str, png: bytes, request: dict[str, Any], owner: str, made: float, known: str
) -> None:
    """Insert a row. `known`: REPLACE or IGNORE a row that has this id."""
    shown = open_png(png)
    values = (id, owner, made, request["prompt"], request["model"], json.dumps(request), *shown.size)
    conn.execute(
        f"INSERT OR {known} INTO pictures (id, owner, made, prompt, model, request, width, height, thumb) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*values, thumbnail(shown, THUMB)),
    )


def _connect(path: Path) -> sqlite3.Connection:
    """A connection whose SQL has `searched(prompt)`."""
    conn = db.connect(path)
    conn.create_function("searched", 1, lambda typed: folded(f"{typed} {spelt(typed)}"), deterministic=True)
    return conn


def folded(line: str) -> str:
    """The text in a form that is equal for texts that differ only in case, composition or form (Unicode's
    NFKC_Casefold)."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", line).casefold())
    return plain.translate(SELECTORS)


def _where(owner: str, text: str, favourites: bool) -> tuple[str, list[Any]]:
    words = folded(text).split()[:20]
    where = "owner = ?" + " AND instr(searched(prompt), ?)" * len(words)
    return where + (" AND favourite" if favourites else ""), [owner, *words]


def _item(row: sqlite3.Row) -> Item:
    values = {k: row[k] for k in ("id", "made", "width", "height", "thumb")}
    return Item(**values, request=json.loads(row["request"]), favourite=bool(row["favourite"]))


def file_name(request: dict[str, Any]) -> str:
    """A name for a download: the first words of the prompt, in any script, and the seed."""
    line = unicodedata.normalize("NFC", text_of(request)).lower()
    words = "".join(c if c.isalnum() or unicodedata.category(c) in ("Mn", "Mc") else " " for c in line).split()
    short = "-".join(words[:8]).encode()[:NAME].decode(errors="ignore")
    return f"{short or 'picture'}-seed-{int(request['seed'])}"
