"""Processes of this machine: which are alive, which belong to a job, and starting and ending a job's process group.

A worker is identified by boot, process namespace, pid and start time, so that a reused pid is not mistaken for it.
Commands have their job's id in their environment, so that those of a dead worker can be found.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.events import JOB
from core.paths import ROOT
from jobs.job import Clock

PROC = Path("/proc")


def _stat(pid: int) -> tuple[str, str] | None:
    """(state, start time in ticks) of a process; None where it has ended or the system has no /proc."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], fields[19]


def _namespace() -> str:
    try:
        return os.readlink(PROC / "self" / "ns" / "pid")
    except OSError:
        return "none"


def cards() -> int:
    """The number of NVIDIA GPUs, counted without loading CUDA."""
    return len(list((PROC / "driver" / "nvidia" / "gpus").glob("*")))


def identity(clock: Clock) -> str:
    stat = _stat(os.getpid())
    return "/".join((clock.boot, _namespace(), str(os.getpid()), stat[1] if stat else "0"))


def dead(who: str, clock: Clock) -> bool:
    """Whether the worker `who` certainly no longer runs; False where this process can't know."""
    boot, namespace, pid, began = who.split("/")
    if (boot, namespace) != (clock.boot, _namespace()) or not PROC.exists():
        return False
    stat = _stat(int(pid))
    return stat is None or stat[0] in "ZX" or stat[1] != began


def of_job(job_id: str) -> list[int]:
    """Every process of this user that works on a job, in any process group."""
    mark, pids = f"{JOB}={job_id}".encode(), []
    for entry in PROC.glob("[0-9]*") if PROC.exists() else []:
        with contextlib.suppress(OSError):
            stat = _stat(int(entry.name))
            if stat and stat[0] not in "ZX" and mark in (entry / "environ").read_bytes().split(b"\0"):
                pids.append(int(entry.name))
    return pids


def end_orphans(job_id: str, grace: float = 5.0) -> int:
    """End the processes of an earlier attempt, by SIGTERM and then SIGKILL. Returns their number."""
    first = of_job(job_id)
    for pid in first:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGCONT)  # a stopped process could not exit
    end = time.monotonic() + grace
    left = first
    while left := of_job(job_id) if left else []:
        if time.monotonic() > end:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    return len(first)


def guarded(argv: Sequence[str], memory: int | None = None, nice: int = 0) -> list[str]:
    """The command line that runs a command under limits and ends it when this process dies. memory: as in `launch`."""
    return [sys.executable, "-m", "jobs.child", str(os.getpid()), str(memory or 0), str(nice), *argv]


def launch(argv: Sequence[str], env: Mapping[str, str], log: Path, memory: int | None, nice: int) -> subprocess.Popen:
    """Start a command in its own process group, under limits, with its output in `log`.

    memory: bytes of private memory, None for no limit.
    """
    with log.open("ab") as out:
        return subprocess.Popen(
            guarded(argv, memory, nice),
            cwd=ROOT,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def signal_group(child: subprocess.Popen, number: int) -> None:
    """Send a signal to the whole group; a group that has ended is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)
