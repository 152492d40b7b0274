"""The parts of a job: its states and legal moves, its row, its progress, the clock and the limits."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


# A job starts running only by a claim. A person may resume a failed or cancelled job, as its checkpoints are kept. A
# job that is done stays done.
MOVES = {
    State.QUEUED: frozenset({State.RUNNING, State.PAUSED, State.CANCELLED}),
    State.RUNNING: frozenset({State.QUEUED, State.PAUSED, State.DONE, State.FAILED, State.CANCELLED}),
    State.PAUSED: frozenset({State.QUEUED, State.CANCELLED}),
    State.DONE: frozenset(),
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset({State.QUEUED}),
}
ENDED = (State.DONE, State.FAILED, State.CANCELLED)


def sources(to: State) -> list[State]:
    """The states from which `to` may be reached."""
    return [s for s in State if to in MOVES[s]]


@dataclass(frozen=True)
class Job:
    """A row of the table. Times are unix seconds, sizes are bytes, `request` is the kind's own JSON."""

    seq: int
    id: str
    kind: str
    request: dict
    owner: str
    priority: int
    parent: str | None  # the job that this one runs again
    state: State
    wish: str | None  # "cancel" or "pause", requested of a running job
    attempt: int  # number of starts
    fence: int  # number of its last claim, counted over all jobs
    failures: int  # failures of its command in a row, without a new checkpoint
    losses: int  # times in a row that its worker vanished, without a new checkpoint
    stage: str | None
    step: int | None
    total: int | None
    seconds_left: float | None
    resumed_from: int | None
    checkpoint_step: int | None
    checkpoint_at: float | None
    created: float
    started: float | None
    ended: float | None
    ran: float  # seconds of work, over all attempts
    bytes: int  # size of its run folder, when last measured
    device: str | None
    worker: str | None
    error: str | None
    outputs: list[dict] = field(default_factory=list)  # {"path": relative to the run folder, "bytes": n}

    @classmethod
    def from_row(cls, row: Any) -> "Job":
        """A job from its row. Raises ValueError, KeyError or TypeError for an invalid row."""
        plain = {f.name: row[f.name] for f in fields(cls)}
        read = {"state": State(row["state"]), "request": json.loads(row["request"])}
        return cls(**plain | read | {"outputs": json.loads(row["outputs"])})

    def to_json(self) -> dict:
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("seq", "fence")}


@dataclass(frozen=True)
class Progress:
    """The last progress of a running command; fields that this attempt has not reported yet are None."""

    stage: str | None = None
    step: int | None = None
    total: int | None = None
    seconds_left: float | None = None
    resumed_from: int | None = None
    checkpoint_step: int | None = None
    checkpoint_at: float | None = None


def _boot() -> str:
    """The id of this boot of the machine; leases count in the monotonic clock of a boot."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else "this machine"


@dataclass(frozen=True)
class Clock:
    """Wall time and monotonic time. Wall time is for people and can jump; leases and limits use monotonic time."""

    wall: Callable[[], float] = time.time
    mono: Callable[[], float] = time.monotonic
    boot: str = field(default_factory=_boot)


@dataclass(frozen=True)
class Limits:
    waiting_per_owner: int = 100  # queued and paused
    running_per_owner: int = 8
    failures: int = 3  # most failures in a row without a new checkpoint
    losses: int = 10  # most vanished workers in a row; more than failures, as the job is seldom the cause
    quota_gb: float = 100.0  # for all run folders together
    free_gb: float = 1.0  # no job starts with less free space
    keep_days: float = 30.0  # for failed and cancelled jobs; done ones stay until a person prunes them
