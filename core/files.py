"""Files and folders that appear whole or not at all, their sha256, and an LRU cache.

A reader never meets a file that is half written: it is written beside its place and renamed.
"""

import contextlib
import hashlib
import math
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")


def sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Returns when a file, or the names in a folder, are on the disk and outlast a loss of power."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def writable(folder: Path) -> None:
    """Returns where files can be made in a folder. Raises OSError."""
    probe = folder / f".still-life-{os.getpid()}"
    probe.touch()
    probe.unlink()


def beside(path: Path) -> Path:
    """A hidden path in the same folder, for this process alone."""
    return path.with_name(f".{path.name}.{os.getpid()}")


@contextlib.contextmanager
def whole_file(path: Path, lasting: bool = False) -> Iterator[Path]:
    """Within: a path to write to, which takes the place of `path` when the block ends well.

    `lasting`: it is on the disk before it takes that place.
    """
    part = beside(path)
    try:
        yield part
        if lasting:
            sync(part)
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the fault that led here is the one to report
            part.unlink()
        raise


@contextlib.contextmanager
def whole_folder(path: Path, lasting: bool = False) -> Iterator[Path]:
    """Within: an empty folder to write to, which takes the place of `path` when the block ends well."""
    part = beside(path)
    for stale in left_over(path):
        shutil.rmtree(stale, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if lasting:
            for written in (*part.rglob("*"), part):
                sync(written)
        shutil.rmtree(path, ignore_errors=True)
        part.rename(path)
        if lasting:
            sync(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def left_over(path: Path) -> list[Path]:
    """Temporary files beside `path` whose writers no longer run; a killed process leaves its own behind."""
    prefix = f".{path.name}."
    hidden = path.parent.glob(".*") if path.parent.is_dir() else ()
    pids = {p: p.name.removeprefix(prefix) for p in hidden if p.name.startswith(prefix)}
    return [p for p, pid in pids.items() if pid.isdigit() and (int(pid) == os.getpid() or not _alive(int(pid)))]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        return True
    return True


class LRU(Generic[K, V]):
    """A cache of values. When their sizes together pass `most`, the least recently used are dropped.

    The newest value stays, however large it is. Safe between threads.
    """

    def __init__(self, most: float = math.inf, size: Callable[[V], float] = lambda _: 1):
        self.most, self.size = most, size
        self._held: dict[K, V] = {}  # the least recently used first
        self._total = 0.0
        self._lock = threading.RLock()

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self.pop(key)
            self._held[key] = value
            self._total += self.size(value)
            while self._total > self.most and len(self._held) > 1:
                self.pop(next(iter(self._held)))

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, otherwise: V) -> V: ...
    def get(self, key: K, otherwise: V | None = None) -> V | None:
        """The value of a key, which becomes the most recently used; `otherwise` where the key is not cached."""
        with self._lock:
            if key in self._held:
                self._held[key] = self._held.pop(key)
            return self._held.get(key, otherwise)

    def pop(self, key: K) -> V | None:
        """Drops a key and returns its value."""
        with self._lock:
            if key not in self._held:
                return None
            value = self._held.pop(key)
            self._total -= self.size(value)
            return value

    def items(self) -> list[tuple[K, V]]:
        """All pairs, the least recently used first. Reading them here does not count as a use."""
        with self._lock:
            return list(self._held.items())
