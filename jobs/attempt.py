"""One attempt at a job: its command is started and watched until it ends and the store has the result.

The worker controls the command only by signals, and reads only `events.jsonl` and the exit status (docs/jobs.md): 0 for
done, 2 for a faulty request, 65 for numbers that are not finite, 143 for a requested stop after a checkpoint. After any
other status the job is tried again.
"""

import json
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.events import DISK_FULL, FAULTY, FILE, NON_FINITE, PAUSED
from core.paths import STUDIO
from jobs import files, process
from jobs.job import Job, Progress
from jobs.kinds import Kind, Start
from jobs.store import Fenced, Store

log = logging.getLogger("jobs")
LOG, OLDER_LOG, LOG_BYTES = "log.txt", "log.1.txt", 4_000_000
MEASURE_SECONDS = 30.0
READ_BYTES = 1_000_000  # most bytes of events that are read at a time
FULL_BYTES = 16_000_000  # with less free space, a failed command is taken for a full disk
SPOKEN = {"stage": str, "step": int, "total": int, "seconds_left": (int, float), "resumed_from": int}


@dataclass(frozen=True)
class Settings:
    """The settings of a worker. Times are in seconds."""

    devices: tuple[str, ...] = ("cpu",)  # each runs one command at a time; "cuda:0" is a GPU
    threads: int = 1  # for a command on the CPU; few, so that the page stays fast
    nice: int = 10
    memory_gb: float = 0.0  # private memory for a command on the CPU; 0 means 85 % of the machine's
    hours: float = 72.0  # time limit of one attempt
    silence: float = 1800.0  # time limit without an event or a line of log
    beat: float = 5.0
    poll: float = 0.25
    cancel_grace: float = 2.2  # between SIGTERM and SIGKILL, so that a cancellation takes at most 3 s
    pause_grace: float = 120.0
    stop_grace: float = 8.0  # when the worker itself stops; service managers give it ten


class Tail:
    """A reader of the events that are appended from now on, by whole lines."""

    def __init__(self, path: Path):
        self.path = path
        self.offset = path.stat().st_size if path.exists() else 0

    def read(self) -> list[dict]:
        if not self.path.exists():
            return []
        with self.path.open("rb") as f:
            f.seek(self.offset)
            data = f.read(READ_BYTES)
        whole = data.rfind(b"\n") + 1
        if not whole and len(data) == READ_BYTES:
            whole = len(data)  # no valid line is that long, so it is skipped
        self.offset += whole
        return [e for raw in data[:whole].splitlines() if (e := _event(raw)) is not None]


def _event(raw: bytes) -> dict | None:
    try:
        event = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None


def _plain(value: object, kind: type | tuple[type, ...]) -> Any:
    """The value as the table can hold it; None where it has another type, or is too large a number."""
    if not isinstance(value, kind):
        return None
    if isinstance(value, str):
        return value[:500].encode("utf-8", "replace").decode()
    return value if isinstance(value, (int, float)) and abs(value) < 2**53 else None


class Attempt:
    def __init__(self, store: Store, settings: Settings, kinds: Mapping[str, Kind], job: Job):
        """Start the command. Raises ValueError where the request is no longer valid, OSError where it can't start."""
        self.store, self.settings, self.job, self.run = store, settings, job, store.run(job.id)
        self.run.mkdir(parents=True, exist_ok=True)
        process.end_orphans(job.id)
        if job.kind not in kinds:
            raise ValueError(f"unknown kind {job.kind!r}; valid: {', '.join(kinds)}")
        kind = kinds[job.kind]
        argv = kind.command(kind.request.from_dict(job.request), Start(self.run, job.ran))
        self.tail = Tail(self.run / FILE)
        self.progress, self.finish, self.error = Progress(), None, None
        self.asked_at = self.grace = 0.0
        self.limit, self.again = None, False  # a reached limit, as a sentence; whether another attempt may help
        self.begun = self.beaten = self.measured = self.heard = store.clock.mono()
        self.log_size, self.reaped, self.over = 0, False, False
        self.child = process.launch(argv, self._environment(), self.run / LOG, self._memory(), settings.nice)
        log.info("a job was started", extra=self._who() | {"kind": job.kind, "command": " ".join(argv)})

    def _who(self) -> dict[str, Any]:
        """The fields of its log lines."""
        return {"job": self.job.id, "attempt": self.job.attempt, "claim": self.job.fence}

    def _environment(self) -> dict[str, str]:
        card = (self.job.device or "").partition(":")
        threads = self.settings.threads if card[0] == "cpu" else os.cpu_count() or 1
        own = {STUDIO: str(self.store.studio), process.JOB: self.job.id, "PYTHONUNBUFFERED": "1"}
        own |= {"CUDA_VISIBLE_DEVICES": card[2] if card[0] == "cuda" else ""}
        own |= {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        return {**os.environ, **own}

    def _memory(self) -> int | None:
        """The memory limit of the command in bytes; None on a GPU, where a process maps far more than it uses."""
        if (self.job.device or "").startswith("cuda"):
            return None
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return int(self.settings.memory_gb * 1e9) or int(0.85 * whole)

    def poll(self, stopping: bool) -> bool:
        """Watch the command; returns True when it has ended and the store has the result. Raises db.DatabaseUnusable,
        after which the next call goes on."""
        if self.over:
            return True
        code = self.child.poll()
        self._listen()
        try:
            if code is None:
                self._watch(stopping)
            else:
                self._conclude(code)
                self.over = True
        except Fenced:
            log.warning("another worker has the job, so it is ended here", extra=self._who())
            self.kill()
            self.over = True
        return self.over

    def kill(self) -> None:
        process.signal_group(self.child, signal.SIGKILL)
        self.child.wait()

    def _listen(self) -> None:
        while events := self.tail.read():
            self.heard = self.store.clock.mono()
            for event in events:
                self._hear(event)

    def _hear(self, event: dict) -> None:
        update = {k: v for k, kind in SPOKEN.items() if (v := _plain(event.get(k), kind)) is not None}
        if event["kind"] == "checkpoint":
            update |= {"checkpoint_step": update.get("step", 0), "checkpoint_at": self.store.clock.wall()}
            if (seconds := _plain(event.get("seconds"), (int, float))) is not None:
                self.store.count(checkpoints=1, checkpoint_seconds=seconds)
        self.progress = replace(self.progress, **update)
        if event["kind"] == "done":
            self.finish = event
        if event["kind"] == "error":
            self.error = _plain(event.get("message"), str) or None

    def _watch(self, stopping: bool) -> None:
        now = self.store.clock.mono()
        due = now - self.beaten >= self.settings.beat
        wish = self._beat(now) if due else self.store.wish(self.job)
        if wish == "cancel":
            self._ask(now, self.settings.cancel_grace)
        elif stopping:
            self._ask(now, self.settings.stop_grace)
        elif wish == "pause":
            self._ask(now, self.settings.pause_grace)
        elif due and not self.asked_at:
            self._check_limits(now)
        if self.asked_at and now - self.asked_at > self.grace:
            process.signal_group(self.child, signal.SIGKILL)

    def _beat(self, now: float) -> str | None:
        size = None
        if now - self.measured >= MEASURE_SECONDS:
            self.measured, size = now, files.size(self.run)
        wish = self.store.beat(self.job, self.progress, now - self.beaten, size)
        self.beaten = now
        self._rotate()
        return wish

    def _ask(self, now: float, grace: float) -> None:
        """Send SIGTERM, once. A later call may shorten the grace, which counts from the first one."""
        self.grace = min(grace, self.grace) if self.asked_at else grace
        if not self.asked_at:
            self.asked_at = now
            process.signal_group(self.child, signal.SIGTERM)

    def _check_limits(self, now: float) -> None:
        used, quota = self.store.used(), self.store.limits.quota_gb
        if now - self.begun > self.settings.hours * 3600:
            self.limit = f"it ran longer than the {self.settings.hours:g} h that one attempt may take"
        elif now - self.heard > self.settings.silence:
            self.limit, self.again = f"no output for {self.settings.silence:g} s", True
        elif used > quota * 1e9:
            self.limit = (
                f"the jobs' files take {used / 1e9:.1f} GB of the {quota:g} GB allowed; delete some, then resume"
            )
        if self.limit:
            self._ask(now, self.settings.stop_grace)

    def _rotate(self) -> None:
        """Cut the log to its newest lines, which is safe as the command appends. Growth shows that it is alive."""
        path = self.run / LOG
        size = path.stat().st_size if path.exists() else 0
        if size != self.log_size:
            self.heard = self.store.clock.mono()
        if size > LOG_BYTES:
            (self.run / OLDER_LOG).write_bytes(path.read_bytes()[-LOG_BYTES:])
            os.truncate(path, 0)
            size = 0
        self.log_size = size

    def _conclude(self, code: int) -> None:
        if not self.reaped:  # once, as the number may belong to another group later
            process.signal_group(self.child, signal.SIGKILL)  # for processes that the command left behind
            self.reaped = True
        self._listen()
        now = self.store.clock.mono()
        self.store.beat(self.job, self.progress, now - self.beaten, files.size(self.run))
        self.beaten = now
        outputs, fault = present(self.run, self.finish)
        if code == 0 and outputs:
            self.store.done(self.job, outputs)
        elif self.limit and not self.again:
            self.store.failed(self.job, self.limit)
        elif self.limit:
            self.store.retry(self.job, self.limit)
        elif self.asked_at and code in (PAUSED, -signal.SIGTERM, -signal.SIGKILL):
            self.store.stopped(self.job)
        elif code in (FAULTY, NON_FINITE):
            self.store.failed(self.job, self.error or fault_of(code))
        else:
            self.store.retry(self.job, self.error or (fault if code == 0 else self._fault_of(code)))
        log.info("a job's command ended", extra=self._who() | {"status": code})

    def _fault_of(self, code: int) -> str:
        """The sentence of a failure. On a full disk the command could not write one itself."""
        return DISK_FULL if files.free(self.run) < FULL_BYTES else fault_of(code)


def fault_of(code: int) -> str:
    if code == -signal.SIGKILL:
        return "it was killed from outside, most often because memory ran out"
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}; see the log"
    return f"it ended with status {code} and no error message; see the log"


def present(run: Path, finish: dict | None) -> tuple[list[dict], str]:
    """The outputs that a `done` event names, and a sentence on what is wrong with them: one of the two is empty."""
    if finish is None:
        return [], "it ended without saying that it was done"
    named = finish.get("outputs")
    if not isinstance(named, list) or not named:
        return [], "it said that it was done but named no output"
    outputs = []
    for name in named:
        if not isinstance(name, str) or not name.isprintable():
            return [], f"its output {name!a} is no path"
        path = (run / name).resolve()
        if not path.is_relative_to(run.resolve()):
            return [], f"its output {name} lies outside its run folder"
        size = files.size(path) if path.is_dir() else path.stat().st_size if path.is_file() else 0
        if not size:
            return [], f"its output {name} is missing or empty"
        outputs.append({"path": name, "bytes": size})
    return outputs, ""
