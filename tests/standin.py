"""A command of milliseconds that obeys the contract of long work (docs/jobs.md), or breaks it in a named way.

Its state is a chain of hashes, one link a step, so that the last one shows whether a step was lost, done twice or done
out of order: `expected(steps)`. `python -m tests.standin work …` is a worker that knows this kind alone.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from core.events import Events
from core.fields import option
from models.request import Request

MODES = "good crash crash_once faulty nan silent mute unnamed absent outside deaf hoard chatty helper full torn".split()


@dataclass(frozen=True)
class Chain(Request):
    steps: int = option(5, "Links.", low=1, high=100_000)
    every: int = option(1, "Steps between checkpoints.", low=1, high=100_000)
    ms: float = option(0.0, "Milliseconds a step.", low=0, high=10_000)
    mode: str = option("good", "What goes wrong.", choices=lambda: MODES)


def expected(steps: int) -> str:
    state = ""
    for step in range(steps):
        state = link(state, step)
    return state


def link(state: str, step: int) -> str:
    return hashlib.sha256(f"{state}{step}".encode()).hexdigest()


class Command:
    def __init__(self, run: Path, steps: int, every: int, ms: float, mode: str):
        self.run, self.steps, self.every, self.ms, self.mode = run, steps, every, ms, mode
        self.stopping = False
        signal.signal(signal.SIGTERM, self.ask)
        self.events = Events(run)
        self.step, self.state = self.load()

    def ask(self, *_) -> None:
        self.stopping = self.mode != "deaf"

    def load(self) -> tuple[int, str]:
        path = self.run / "checkpoint.json"
        if not path.exists():
            return 0, ""
        saved = json.loads(path.read_text())
        return saved["step"], saved["state"]

    def save(self) -> None:
        tmp = self.run / "checkpoint.tmp"
        tmp.write_text(json.dumps({"step": self.step, "state": self.state}))
        tmp.replace(self.run / "checkpoint.json")
        self.events.write("checkpoint", step=self.step, path="checkpoint.json")

    def go(self) -> int:
        resumed = {"resumed_from": self.step} if self.step else {}
        self.events.write("progress", stage="links", step=self.step, total=self.steps, seconds_left=1.0, **resumed)
        while self.step < self.steps:
            self.state, self.step = link(self.state, self.step), self.step + 1
            time.sleep(self.ms / 1000)
            self.events.write("progress", stage="links", step=self.step, total=self.steps, seconds_left=0.5)
            if self.step % self.every == 0 or self.stopping or self.step == self.steps:
                self.save()
            if self.stopping and self.step < self.steps:
                return 143
            status = self.misbehave()
            if status is not None:
                return status
        return self.finish()

    def misbehave(self) -> int | None:
        halfway, first = self.step == (self.steps + 1) // 2, self.events.attempt == 1
        if not halfway:
            return None
        match self.mode:
            case "crash":
                raise SystemExit(1)
            case "crash_once" if first:
                os.kill(os.getpid(), signal.SIGSEGV)
            case "faulty" | "nan":
                self.events.write("error", message="it cannot be done")
                return {"faulty": 2, "nan": 65}[self.mode]
            case "silent":
                time.sleep(60)
            case "hoard":
                return self.hoard()
            case "chatty":
                print("x" * 100_000, flush=True)
            case "torn" if first:
                os.write(self.events._file.fileno(), b'{"kind": "progress", "step": 9')
                os.kill(os.getpid(), signal.SIGKILL)
            case "helper":
                subprocess.Popen(["sleep", "60"])
            case "full":
                return self.fill()
        return None

    def hoard(self) -> int | None:
        try:
            held = [bytearray(50_000_000) for _ in range(200)]
        except MemoryError:
            self.events.write("error", message="memory ran out: make the batch smaller")
            return 1
        return len(held) and None

    def fill(self) -> int | None:
        """Write until the disk is full, as a checkpoint that is too large does."""
        path = self.run / "large.tmp"
        try:
            with path.open("wb") as f:
                for _ in range(1000):
                    f.write(b"\0" * 1_000_000)
        except OSError as e:
            path.unlink()
            self.events.write("error", message=f"the checkpoint could not be written: {os.strerror(e.errno).lower()}")
            return 1
        return None

    def finish(self) -> int:
        (self.run / "result.txt").write_text(self.state)
        outputs = {"unnamed": [], "absent": ["result.txt", "nothing.txt"], "outside": ["../../jobs.db"]}
        if self.mode != "mute":
            self.events.write("done", step=self.step, outputs=outputs.get(self.mode, ["result.txt"]))
        return 0


def command(request: Chain, start) -> list[str]:
    argv = [sys.executable, "-m", "tests.standin", "run", str(start.run), str(request.steps), str(request.every)]
    return [*argv, str(request.ms), request.mode]


def work(arguments: list[str]) -> int:
    """A worker with short intervals that knows this kind alone; `--lease` in seconds, `--crash` as crash_at says."""
    from jobs import store, worker
    from jobs.attempt import Settings
    from jobs.kinds import Kind

    p = argparse.ArgumentParser()
    p.add_argument("--slots", type=int, default=1)
    p.add_argument("--lease", type=float, default=store.LEASE)
    p.add_argument("--crash")
    args, rest = p.parse_known_args(arguments)
    store.LEASE, store.BACKOFF = args.lease, 0.1
    devices = tuple(f"cpu:{n}" for n in range(args.slots))
    settings = Settings(devices, nice=0, beat=0.2, poll=0.02, pause_grace=5.0, stop_grace=5.0)
    if args.crash:
        crash_at(args.crash)
    return worker.main(rest, {"chain": Kind(Chain, command)}, settings)


def crash_at(point: str) -> None:
    """Kill this process by SIGKILL just before or after a step of a job's life, such as `after Store.claim`."""
    from jobs import attempt, files, process, store

    when, _, name = point.partition(" ")
    owner, _, method = name.rpartition(".")
    places = {"Store": store.Store, "Attempt": attempt.Attempt, "process": process, "files": files}
    inner = getattr(places[owner], method)

    def dying(*args, **kwargs):
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        out = inner(*args, **kwargs)
        if out is not None or method != "claim":
            os.kill(os.getpid(), signal.SIGKILL)
        return out

    setattr(places[owner], method, dying)


if __name__ == "__main__":
    if sys.argv[1] == "work":
        sys.exit(work(sys.argv[2:]))
    folder, steps, every, ms, mode = sys.argv[2:]
    sys.exit(Command(Path(folder), int(steps), int(every), float(ms), mode).go())
