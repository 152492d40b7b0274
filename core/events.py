"""The events of long work: `events.jsonl` in its run folder, one JSON object a line (docs/architecture.md).

Terminal bars, the Jobs page, plots and the worker read this file; nothing parses logs. A command's exit status says how
it ended: 0 for done, else one of those below.
"""

import contextlib
import errno
import json
import os
import time
from pathlib import Path

FILE = "events.jsonl"
JOB = "STILL_LIFE_JOB"  # in the environment of a job's command: its id, which is its run's name
KINDS = ("progress", "metric", "sample", "checkpoint", "done", "error")
FAULTY = 2  # the request is at fault: trying again would not help
NON_FINITE = 65  # the numbers stopped being finite
PAUSED = 143  # stopped after a checkpoint, because somebody asked for it
DISK_FULL = "the disk is full: free some space, then resume"


class Events:
    """Appends events, flushed line by line. Paths in fields are relative to the run folder."""

    def __init__(self, run: Path, attempt: int | None = None):
        run.mkdir(parents=True, exist_ok=True)
        path = run / FILE
        if attempt is None:
            attempt = max((e.get("attempt", 0) for e in lines(run)), default=0) + 1
        self.attempt = attempt
        self._mend(path)
        self._file = path.open("a", encoding="utf-8")

    @staticmethod
    def _mend(path: Path) -> None:
        """A line that a kill tore apart must not swallow the next one."""
        if path.exists() and path.stat().st_size:
            with path.open("rb+") as f:
                f.seek(-1, os.SEEK_END)
                if f.read(1) != b"\n":
                    f.write(b"\n")

    def write(self, kind: str, **fields) -> None:
        assert kind in KINDS, f"event {kind!r}; valid: {', '.join(KINDS)}"
        line = {"time": round(time.time(), 3), "attempt": self.attempt, "kind": kind, **fields}
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def failed(run: Path, message: str) -> None:
    """Write the error of a run that ended. On a full disk it can't be written; a worker knows that without it."""
    with contextlib.suppress(OSError), contextlib.closing(Events(run)) as events:
        events.write("error", message=message)


def lines(run: Path) -> list[dict]:
    """Every whole line, in file order; torn lines are left out."""
    path = run / FILE
    if not path.exists():
        return []
    out = []
    for raw in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(raw)
        except json.JSONDecodeError:
            continue
        if isinstance(event, dict) and "kind" in event:
            out.append(event)
    return out


def read(run: Path) -> list[dict]:
    """The events of the run as it stands: without those beyond the step from which a later attempt resumed."""
    kept: list[dict] = []
    for event in lines(run):
        resumed = resumed_from(event)
        if resumed is not None:
            kept = [e for e in kept if e.get("step", 0) <= resumed and e["kind"] != "error"]
        kept.append(event)
    return kept


def resumed_from(event: dict) -> int | None:
    """The step from which this event resumes the run, or None. Earlier events of later steps are void."""
    step = event.get("resumed_from")
    return step if isinstance(step, int) else None


def trouble(error: BaseException) -> str | None:
    """One sentence for a fault of the machine that may pass, such as memory or disk; None for a fault of the code."""
    if isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error):
        return "memory ran out: a smaller batch or picture needs less"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK_FULL
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.filename or 'a file'} could not be used: {os.strerror(error.errno).lower()}"
    return None
