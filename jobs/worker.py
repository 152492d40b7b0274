"""The worker: it claims jobs, runs their commands and renews leases, by itself or beside the page.

    python -m jobs.worker [--studio DIR] [--slots N | --cards N] [--threads N] [--drain]

After SIGTERM or Ctrl+C every command writes a checkpoint, its job is queued again, and the worker ends. If the worker
is killed in any other way, the kernel stops its commands, and another worker resumes its jobs.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from core import db, logs
from core.paths import ROOT, use_studio
from jobs import files, keep, process
from jobs.attempt import Attempt, Settings
from jobs.job import Job, State
from jobs.kinds import KINDS, Kind
from jobs.store import Store

log = logging.getLogger("jobs")
SWEEP_SECONDS, PRESENT_SECONDS, PRUNE_SECONDS = 2.0, 20.0, 3600.0
TROUBLE_SECONDS = 2.0  # between tries while the database can't be used
RESTART_SECONDS = 2.0


class Every:
    """True at the first call, and then at most once in so many seconds."""

    def __init__(self, seconds: float, mono: Callable[[], float]):
        self.seconds, self.mono, self.last = seconds, mono, -1e18

    def __call__(self) -> bool:
        if self.mono() - self.last < self.seconds:
            return False
        self.last = self.mono()
        return True


class Worker:
    def __init__(self, store: Store, settings: Settings, kinds: Mapping[str, Kind] = KINDS):
        self.store, self.settings, self.kinds = store, settings, kinds
        self.me = process.identity(store.clock)
        self.attempts: list[Attempt] = []
        self.stopping = False
        self.note = ""
        mono = store.clock.mono
        self.sweeps, self.presence = Every(SWEEP_SECONDS, mono), Every(PRESENT_SECONDS, mono)
        self.pruning = Every(PRUNE_SECONDS, mono)

    def dead(self, who: str) -> bool:
        return process.dead(who, self.store.clock)

    def stop(self, *_: object) -> None:
        """Let every command write a checkpoint, then end. Safe in a signal handler."""
        self.stopping = True

    def work(self, drain: bool = False) -> None:
        """Run until stopped, or with `drain` until nothing is queued or running."""
        while not (self.stopping and not self.attempts):
            try:
                self.turn()
                if drain and self._idle():
                    break
            except db.DatabaseUnusable as e:
                log.error("%s; trying again", e)
                time.sleep(TROUBLE_SECONDS)
            time.sleep(self.settings.poll)
        self.store.absent(self.me)

    def _idle(self) -> bool:
        counts = self.store.counts()
        return not self.attempts and not counts[State.QUEUED] and not counts[State.RUNNING]

    def turn(self) -> None:
        """One round of all duties. Raises db.DatabaseUnusable."""
        self.attempts = [a for a in self.attempts if not a.poll(self.stopping)]
        if self.sweeps():
            for job in self.store.sweep(self.dead):
                fields = {"job": job.id, "attempt": job.attempt, "state": str(job.state)}
                log.warning("a job was left by a worker that is gone", extra=fields)
                process.end_orphans(job.id)
        if not self.stopping:
            self._start()
        if self.presence():
            self.store.present(self.me, list(self.settings.devices), self.note)
        if self.pruning():
            keep.prune(self.store, self.store.limits.keep_days)

    def _start(self) -> None:
        busy = {a.job.device for a in self.attempts}
        idle = [d for d in self.settings.devices if d not in busy]
        if not idle or not self.store.waiting() or not self._room():
            return
        for device in idle:
            job = self.store.claim(self.me, device)
            if job is not None:
                self._launch(job)

    def _room(self) -> bool:
        left, needed = files.free(self.store.studio) / 1e9, self.store.limits.free_gb
        note = "" if left >= needed else f"waiting: the disk has {left:.1f} GB left, jobs start with {needed:g} GB"
        if note != self.note and bool(note) != bool(self.note):
            self.note = note
            self.store.present(self.me, list(self.settings.devices), note)
        return not note

    def _launch(self, job: Job) -> None:
        try:
            self.attempts.append(Attempt(self.store, self.settings, self.kinds, job))
        except ValueError as e:
            self.store.failed(job, str(e))
        except OSError as e:
            self.store.retry(job, f"it could not be started: {os.strerror(e.errno or 0).lower()} ({e.filename})")


def _cards(args: argparse.Namespace) -> int:
    """The number of GPUs to use: --cards, else all; none where --slots is given."""
    if args.cards is not None:
        return args.cards
    return process.cards() if args.slots is None else 0


def settings_of(args: argparse.Namespace) -> Settings:
    cards = tuple(f"cuda:{n}" for n in range(_cards(args)))
    slots = ("cpu",) if args.slots in (None, 1) else tuple(f"cpu:{n}" for n in range(args.slots))
    return Settings(cards or slots, args.threads, args.nice, args.memory_gb, args.hours)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("jobs.worker", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    own = Settings()
    p.add_argument("--studio", type=Path, help="the studio folder")
    p.add_argument("--slots", type=int, help="jobs that run at the same time on the CPU (default 1)")
    p.add_argument("--cards", type=int, help="number of GPUs to use instead, one job at a time on each (default: all)")
    p.add_argument("--threads", type=int, default=own.threads, help="of a command on the CPU (default %(default)s)")
    p.add_argument("--nice", type=int, default=own.nice, help="niceness of the commands (default %(default)s)")
    p.add_argument(
        "--memory-gb", type=float, default=0.0, help="memory limit of a command (default 85 %% of the machine's)"
    )
    p.add_argument("--hours", type=float, default=own.hours, help="time limit of one attempt (default %(default)s)")
    p.add_argument("--log-prompts", action="store_true", help="log what people typed, not a digest of it")
    p.add_argument("--drain", action="store_true", help="leave when nothing is queued or running")
    return p


def main(argv: list[str] | None = None, kinds: Mapping[str, Kind] = KINDS, settings: Settings | None = None) -> int:
    args = parser().parse_args(argv)
    logs.begin(args.log_prompts)
    use_studio(args.studio)
    try:
        worker = Worker(Store(check=True), settings or settings_of(args), kinds)
    except db.DatabaseUnusable as e:
        print(f"jobs.worker: {e}", file=sys.stderr)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, worker.stop)
    worker.work(args.drain)
    return 0


class Background:
    """A worker process beside this one. It is started again when it dies, and ends with this process."""

    def __init__(self, command: list[str]):
        self.command = process.guarded(command)
        self.leaving = threading.Event()
        self.worker: subprocess.Popen | None = None
        self.thread = threading.Thread(target=self._keep, name="jobs", daemon=True)
        self.thread.start()

    def _keep(self) -> None:
        while not self.leaving.is_set():
            self.worker = subprocess.Popen(self.command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)
            self.worker.wait()
            self.leaving.wait(RESTART_SECONDS)

    def stop(self, seconds: float = 15.0) -> None:
        """Stop the worker. Its jobs keep checkpoints and go on at the next start."""
        self.leaving.set()
        if self.worker is not None:
            self.worker.terminate()
        self.thread.join(seconds)


def start_background(*arguments: str) -> Background:
    """Start the worker of an app, with arguments of `python -m jobs.worker`, in the app's own studio."""
    return Background([sys.executable, "-m", "jobs.worker", *arguments])


if __name__ == "__main__":
    sys.exit(main())
