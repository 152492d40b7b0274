"""The command that trains, in one process or, under `accelerate launch` or `torchrun`, in several.

    python -m distill.train METHOD --run NAME [--base ID] [--dataset toys+emoji] [--set lr=1e-4 …] [--resume] …

It writes run.json, events.jsonl, samples and checkpoints into the run's folder. The loop is in `distill/trainer.py`.
After SIGTERM it writes a checkpoint and exits with status 143, after Ctrl+C with 130.
"""

import argparse
import contextlib
import dataclasses
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from accelerate import Accelerator

from core import checkpoint
from core.events import FAULTY, JOB, failed, trouble
from core.files import whole_file
from core.hardware import attention, faster_precision, settle, several_on_cpu
from core.paths import run_dir, use_studio
from core.settings import from_saved, override
from core.stage import heard
from core.stop import Stop
from distill import declared, start
from distill.command import DATASET, command, pair, parser, resumed
from distill.data import NAMES, named, place
from distill.fitting import Training, check, check_settings
from distill.method import needed
from distill.report import Reporter
from distill.settings import TrainConfig
from distill.start import WORDS
from distill.trainer import defaults, loop, prepare, reach
from distill.world import SceneRequest, check_latents
from models import catalogue, elsewhere
from models.catalogue import Row
from models.request import SEEDS


@dataclass(frozen=True)
class Plan:
    """A planned training: the command's settings, merged with those of a run that is resumed."""

    run: Path
    module: ModuleType  # of the method
    base: Row | None
    start: Row | None  # the student whose weights a new run starts from
    cfg: TrainConfig
    own: Any  # the method's Config
    facts: dict  # the contents of run.json, without a new run's start
    minutes: float | None
    until: int | None
    resume: bool

    def write(self) -> None:
        """Write run.json, give a base that is a folder its name, and copy the student that a new run starts from."""
        if self.base is not None:
            elsewhere.remember(self.base)
        begun = {"start": start.keep(self.start, self.run)} if self.start else {}
        with whole_file(self.run / "run.json") as part:
            part.write_text(json.dumps(self.facts | begun, indent=1))


def planned(args: argparse.Namespace) -> Plan:
    """The plan of a command. Raises ValueError where the command can't be carried out."""
    run, module = run_dir(args.run), declared.module(args.method)
    check_limits(args)
    settings = dict(pair(text) for text in args.set) | ({} if args.seed is None else {"train.seed": str(args.seed)})
    cfg, own, saved = defaults(module), module.Config(), {}
    if args.resume:
        saved = saved_facts(args, run)
        cfg, own = from_saved(cfg, saved["train"]), from_saved(own, saved["config"])
        args.base, args.dataset = moved(args, saved)
        args.skip_bad = saved["skip_bad"]
        args.start = (saved.get("start") or {}).get("id")
    elif checkpoint.folders(run):
        raise ValueError(f"run {args.run!r} has checkpoints: --resume goes on with it, another --run starts anew")
    args.dataset = named(args.dataset or DATASET)
    base = catalogue.find(args.base) if args.base else None
    base = base and elsewhere.named(base, set(catalogue.rows()), saved.get("base"))
    args.base = base.id if base else None
    if saved and "latents" in module.Method.needs:
        check_latents(saved, base)
    begins = catalogue.get(args.start) if args.start and not saved else None
    before = cfg, own
    cfg, own = configured(cfg, own, settings)
    (check_settings if saved else check)(Training(args.method, base, begins, args.dataset, own, cfg))
    line = saved.get("command") if (cfg, own) == before else None
    if line is None:  # a new run, or one that is resumed with other settings
        newest, _ = checkpoint.newest(run)
        step = checkpoint.step_of(newest) if newest else None
        line = resumed(saved, step, args, settings) if step else command(args, cfg, own, defaults(module))
    facts = {"run": args.run, "method": args.method, "base": args.base, "start": saved.get("start")}
    facts |= {"latents": base.manifest.latents if base else "", "dataset": args.dataset, "skip_bad": args.skip_bad}
    facts |= {"base_sha256": saved.get("base_sha256", catalogue.denoiser_sha256(base) if base else "")}
    facts |= {"config": dataclasses.asdict(own), "train": dataclasses.asdict(cfg), "command": line}
    return Plan(run, module, base, begins, cfg, own, facts, args.minutes, args.until, args.resume)


def moved(args: argparse.Namespace, saved: dict) -> tuple[str | None, str]:
    """The base and data set of a run that is resumed. Where they are folders that moved, the command may name them."""
    folder = saved["base"] not in catalogue.rows() and elsewhere.is_folder(saved["base"])
    base = args.base if args.base and folder else saved["base"]
    own = saved["dataset"] not in (*NAMES, "mixture") and args.dataset and place(args.dataset)
    return base, args.dataset if own else saved["dataset"]


def check_limits(args: argparse.Namespace) -> None:
    """Raises ValueError for a limit or a seed out of its range."""
    for name, least in (("minutes", 0.001), ("until", 1), ("seed", 0)):
        if (value := getattr(args, name)) is not None and not least <= value < SEEDS:
            raise ValueError(f"--{name} must be {least} or more, and less than {SEEDS}, not {value}")


def saved_facts(args: argparse.Namespace, run: Path) -> dict:
    """The run.json of a run that is resumed. Raises ValueError where the command does not fit the run."""
    if not (run / "run.json").exists():
        raise ValueError(f"there is no run named {args.run!r} to resume")
    saved = json.loads((run / "run.json").read_text())
    if saved["method"] != args.method:
        raise ValueError(f"run {args.run!r} trains {saved['method']}, not {args.method}")
    if args.start not in (None, (saved.get("start") or {}).get("id")):
        raise ValueError(f"run {args.run!r} has begun already: --start is for new runs; leave it out")
    return saved


def configured(cfg: TrainConfig, own: Any, settings: dict[str, str]) -> tuple[TrainConfig, Any]:
    """The loop's settings and the method's, with those of `--set` applied; the loop's have `train.` before the key."""
    mine = {k: v for k, v in settings.items() if not k.startswith("train.")}
    cfg = override(cfg, {k.removeprefix("train."): v for k, v in settings.items() if k not in mine}, "train.")
    if cfg.precision == "auto":
        cfg = dataclasses.replace(cfg, precision=faster_precision())
    return cfg, override(own, mine)


class Taken(ValueError):
    """Another process trains this run."""


@contextlib.contextmanager
def locked(run: Path, main: bool) -> Iterator[None]:
    """Within: no other command trains this run. The main process holds the lock. Raises Taken."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / "lock").open("w") as lock:
        try:
            if main:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken(f"run {run.name!r} is being trained by another process") from None
        yield


def train(plan: Plan) -> int:
    cfg = plan.cfg
    acc = Accelerator(mixed_precision={"fp32": "no"}.get(cfg.precision, cfg.precision), cpu=several_on_cpu())
    with locked(plan.run, acc.is_main_process):
        if acc.is_main_process:
            plan.write()
        acc.wait_for_everyone()
        if cfg.batch_size % (acc.num_processes * cfg.accumulate):
            raise ValueError(
                f"train.batch_size={cfg.batch_size} does not divide by {acc.num_processes} processes × "
                f"train.accumulate={cfg.accumulate}"
            )
        status = follow(plan, acc)
        acc.end_training()  # a group of processes that is not ended aborts, at times, while Python leaves
        return status


def follow(plan: Plan, acc: Accelerator) -> int:
    """Train to the end or a stop, from the newest good checkpoint where the run is resumed; returns the exit status."""
    cfg, stop, facts = plan.cfg, Stop(plan.minutes, plan.until), plan.facts
    settle()
    begun = plan.run if plan.start or facts["start"] else None
    samples = cfg.steps * cfg.batch_size
    scene_request = SceneRequest(
        plan.module, plan.own, plan.base, facts["dataset"], cfg.seed, facts["skip_bad"], samples, begun
    )
    report = Reporter(plan.run, cfg, enabled=acc.is_main_process)
    with heard(report.stage):  # drawing and encoding may take minutes
        t = prepare(scene_request, cfg, acc)
    reach(t)
    newest, faults = checkpoint.newest(plan.run) if plan.resume else (None, [])
    for fault in faults:
        report.say(f"passed over {fault}")
    if newest:
        t.restore(checkpoint.load(newest))
    if acc.is_main_process and t.scene.words and not (plan.run / WORDS).exists():
        with whole_file(plan.run / WORDS) as part:
            part.write_text(json.dumps(t.scene.words(), ensure_ascii=False, indent=0))
    report.start(t.step, t.movers, acc.num_processes, t.held())
    if cfg.compile:
        network = needed(t.scene.world.student.network)
        network.forward = torch.compile(network.forward)
    with attention(acc.device):
        return loop(t, report, plan.run, stop)


def main(argv: list[str] | None = None) -> int:
    use_studio()
    args = parser(__doc__).parse_args(argv)
    ours = os.environ.get(JOB) == args.run  # a refused command may name a run that is not its own
    try:
        plan, ours = planned(args), True
        return train(plan)
    except (ValueError, FileNotFoundError) as e:
        message, status = str(e), FAULTY
        ours = ours and not isinstance(e, Taken)
    except (MemoryError, OSError, RuntimeError) as e:
        message, status = trouble(e), 1
        if message is None:
            raise
    print(f"distill.train: {message}", file=sys.stderr)
    if ours:
        failed(run_dir(args.run), message)
    return status


if __name__ == "__main__":
    sys.exit(main())
