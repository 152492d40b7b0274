"""The training loop and its command line. One loop, every method: nothing below knows what is being distilled.

    python -m distill.train METHOD --run NAME [--base ID] [--dataset toys+emoji] [--set lr=1e-4 …] [--resume] …

Randomness is a function of (seed, step, index of the sample in the global batch), checkpoints are atomic, so a run
that was killed and resumed is, on one thread, bit for bit the run that was not. SIGTERM: checkpoint, exit 143.
"""

import argparse
import contextlib
import dataclasses
import fcntl
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from core import checkpoint
from core.events import FAULTY, NON_FINITE, PAUSED, Events, trouble
from core.hardware import attention, faster_precision, settle, several_on_cpu
from core.paths import run_dir
from core.settings import T, from_saved, override
from core.stop import Stop
from distill import declared, start
from distill.command import command, pair, parser, resumed
from distill.method import Batch, Begins, Method, Out, Remembers, Rows, Staged
from distill.mover import Mover, ema_rate, moves, rate
from distill.report import Reporter
from distill.request import no_start
from distill.settings import TrainConfig
from distill.world import Asked, Scene, build, check_latents, latents_of, weights_of
from models import catalogue

MAX_SKIPS = 5


def reduced(acc: Accelerator, x: Tensor, how: str = "mean") -> Tensor:
    """Of all processes."""
    out = acc.reduce(x, how)
    assert isinstance(out, Tensor), "one tensor gives one"
    return out


@dataclass
class Trainer:
    """What a step needs and a checkpoint holds."""

    method: Method
    scene: Scene
    cfg: TrainConfig
    acc: Accelerator
    movers: list[Mover]
    step: int = 0
    samples: int = 0
    skipped: int = 0
    in_a_row: int = 0

    def slices(self, player: int) -> Iterator[tuple[Batch, Rows]]:
        """This process's part of the batch, in `accumulate` slices, each with its rows' random numbers."""
        share = self.cfg.batch_size // (self.acc.num_processes * self.cfg.accumulate)
        for i in range(self.cfg.accumulate):
            start = (self.acc.process_index * self.cfg.accumulate + i) * share
            where = self.cfg.seed, self.step, self.cfg.batch_size, start
            drawn = self.scene.batch(self.step, share, Rows(*where))
            yield drawn, Rows(*where, stream=player + 1, device=self.acc.device)

    def move(self, index: int, mover: Mover) -> dict[str, Tensor]:
        """One turn of one player: gradients of all slices and processes, clipped; no step on non-finite numbers."""
        for w in (w for other in self.movers for w in other.weights.values()):
            w.requires_grad_(False)
        for w in mover.weights.values():
            w.requires_grad_(True)
        logs: dict[str, Tensor] = {}
        for batch, rng in self.slices(index):
            with self.acc.autocast():
                out: Out = self.method.loss(mover.name, batch, rng)
            (out.loss / self.cfg.accumulate).backward()
            for k, v in {"loss": out.loss.detach(), **out.logs}.items():
                logs[k] = logs.get(k, 0) + v.float() / self.cfg.accumulate
        if self.acc.num_processes > 1:
            for w in mover.weights.values():
                w.grad = reduced(self.acc, torch.zeros_like(w) if w.grad is None else w.grad)
            logs = {k: reduced(self.acc, v) for k, v in logs.items()}
        norm = nn.utils.clip_grad_norm_(mover.weights.values(), self.cfg.clip_norm)
        logs["grad_norm"] = norm
        if torch.isfinite(norm) and torch.isfinite(logs["loss"]):
            keep = ema_rate(self.cfg, (self.step - mover.start) // mover.every)
            mover.update(rate(self.cfg, self.step), keep)
            self.in_a_row = 0
        else:
            self.skipped += 1
            self.in_a_row += 1
        mover.forget_gradients()
        return {f"{mover.name}/{k}": v for k, v in logs.items()}

    def advance(self) -> dict[str, Tensor]:
        logs: dict[str, Tensor] = {}
        for i, mover in enumerate(self.movers):
            if self.step == mover.first:
                if isinstance(self.method, Begins):
                    self.method.begin(mover.name)
                mover.begin()
            if mover.turn(self.step):
                logs |= self.move(i, mover)
        self.step += 1
        self.samples += self.cfg.batch_size
        return logs

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within: every player that has a moving average stands at it."""
        averages = [(m, average) for m in self.movers if (average := m.average(self.step)) is not None]
        swaps = [(m.weights[k].data, w) for m, average in averages for k, w in average.items()]
        before = [a.clone() for a, _ in swaps]
        for a, e in swaps:
            a.copy_(e)
        try:
            yield
        finally:
            for (a, _), b in zip(swaps, before, strict=True):
                a.copy_(b)

    def saved(self) -> checkpoint.Saved:
        tensors: dict[str, dict[str, Tensor]] = {m.name: dict(m.weights) for m in self.movers}
        tensors |= {f"{m.name}.buffers": m.buffers for m in self.movers if m.buffers}
        averages = {f"{m.name}.ema": m.average(self.step) for m in self.movers}
        tensors |= {name: average for name, average in averages.items() if average is not None}
        if isinstance(self.method, Remembers):
            tensors["method"] = self.method.state_dict()
        counters = {"samples_seen": self.samples, "skipped": self.skipped}
        optimisers = {m.name: {k: o.state_dict() for k, o in m.optimisers.items()} for m in self.movers}
        return checkpoint.Saved(self.step, tensors, optimisers, counters)

    def restore(self, saved: checkpoint.Saved) -> None:
        """A player that the run's settings have added since, such as heads, starts as new."""
        for m in (m for m in self.movers if m.name in saved.tensors):
            targets: dict[str, dict] = {m.name: m.weights} | ({f"{m.name}.ema": m.ema} if m.ema is not None else {})
            targets |= {f"{m.name}.buffers": m.buffers} if m.buffers else {}
            for name, tensors in targets.items():
                assert tensors.keys() == saved.tensors[name].keys(), f"the checkpoint's {name} is another network's"
                for k, w in tensors.items():
                    w.data.copy_(saved.tensors[name][k])
            for k, optimiser in m.optimisers.items():
                optimiser.load_state_dict(saved.optimizers[m.name][k])
        if "method" in saved.tensors:
            assert isinstance(self.method, Remembers), "what it saved it can read"
            self.method.load_state_dict(saved.tensors["method"])
        self.step, self.samples, self.skipped = saved.step, saved.counters["samples_seen"], saved.counters["skipped"]


def prepare(asked: Asked, cfg: TrainConfig, acc: Accelerator | None = None) -> Trainer:
    """A trainer at step 0, on the CPU and in fp32 unless an accelerator says otherwise."""
    acc = acc or Accelerator(cpu=True)
    torch.manual_seed(cfg.seed)  # the initial weights of new networks
    scene = build(asked, acc.device)
    method = asked.module.Method(scene.world, asked.cfg)
    for player in method.players.values():
        player.module.to(acc.device)  # what a method made for itself, such as heads
    moving = [moves(name, p, cfg.weight_decay, cfg.optimizer) for name, p in method.players.items()]
    return Trainer(method, scene, cfg, acc, moving)


def defaults(module: ModuleType) -> TrainConfig:
    """The loop's settings, with as many steps as the method's own settings ask for."""
    return TrainConfig(steps=getattr(module, "STEPS", TrainConfig.steps))


def reach(t: Trainer) -> None:
    """Raises ValueError for a training that would end before a stage of its method begins."""
    begins = {f"its {m.name}'s first turn": m.first for m in t.movers}
    begins |= t.method.stages if isinstance(t.method, Staged) else {}
    what, step = max(begins.items(), key=lambda item: item[1])
    if step >= t.cfg.steps:
        raise ValueError(
            f"train.steps={t.cfg.steps} ends before {what}, step {step}: set more steps, or let that begin sooner"
        )


def anywhere(acc: Accelerator, flag: bool) -> bool:
    """Whether it is true in any process, so that all stop after the same step."""
    if acc.num_processes == 1:
        return flag
    return bool(reduced(acc, torch.tensor(float(flag), device=acc.device), "sum") > 0)


def loop(t: Trainer, report: Reporter, run: Path, stop: Stop) -> int:
    cfg = t.cfg
    stop.begin()
    while t.step < cfg.steps:
        begun = time.monotonic()
        logs = t.advance()
        report.step(t.step, logs, time.monotonic() - begun)
        if t.in_a_row >= MAX_SKIPS:
            report.error(
                f"{MAX_SKIPS} steps in a row gave numbers that are not finite, up to step {t.step}; "
                f"resume goes on from the last checkpoint, a lower lr may help"
            )
            return NON_FINITE
        ended, signalled = t.step >= cfg.steps, anywhere(t.acc, stop.signalled)
        asked = signalled or t.step == stop.until or anywhere(t.acc, stop.now())
        if t.acc.is_main_process:
            if t.step % cfg.sample_every == 0 or ended:
                with torch.compiler.set_stance("force_eager"):  # a few pictures are not worth compiling for
                    report.sample(t)
            if t.step % cfg.checkpoint_every == 0 or ended or asked:
                begun = time.monotonic()
                folder = checkpoint.save(run, t.saved(), cfg.keep)
                report.checkpoint(folder, t.step, time.monotonic() - begun)
        t.acc.wait_for_everyone()  # one that left while another writes would take it along
        if signalled and not ended:
            return PAUSED
        if asked:
            break  # the minutes are over: what there is is the result
    report.done(t.step)
    return 0


def configs(method: str, settings: dict[str, str], trainer: TrainConfig, own: T) -> tuple[TrainConfig, T]:
    """`--set` onto the trainer's configuration (`train.` before the key) and the method's."""
    mine = {k: v for k, v in settings.items() if not k.startswith("train.")}
    cfg = override(trainer, {k.removeprefix("train."): v for k, v in settings.items() if k not in mine}, "train.")
    if cfg.precision == "auto":
        cfg = dataclasses.replace(cfg, precision=faster_precision())
    return cfg, override(own, mine)


def resumed_facts(args: argparse.Namespace, run: Path, module: ModuleType) -> dict:
    """The run.json of a run that goes on; `args` take from it what the run is made of. Raises ValueError."""
    described = run / "run.json"
    if not described.exists():
        raise ValueError(f"there is no run named {args.run!r} to resume")
    saved = json.loads(described.read_text())
    if saved["method"] != args.method:
        raise ValueError(f"run {args.run!r} trains {saved['method']}, not {args.method}")
    args.base, args.dataset, args.skip_bad = saved["base"], saved["dataset"], saved["skip_bad"]
    begun = (saved.get("start") or {}).get("id")
    if args.start not in (None, begun):
        raise ValueError(f"run {args.run!r} has begun already: --start is for new runs; leave it out")
    args.start = begun
    if "latents" in module.Method.needs:
        check_latents(saved)
    return saved


def train(args: argparse.Namespace) -> int:
    run = run_dir(args.run)
    module = declared.module(args.method)
    settings = dict(pair(text) for text in args.set)
    args.base = catalogue.find(args.base).id if args.base else None  # a folder's is where it lies
    trainer, own = defaults(module), module.Config()
    described, saved = run / "run.json", {}
    if args.resume:
        saved = resumed_facts(args, run, module)
        trainer, own = from_saved(trainer, saved["train"]), from_saved(own, saved["config"])
    elif checkpoint.folders(run):
        raise ValueError(f"run {args.run!r} has checkpoints: --resume goes on with it, another --run starts anew")
    elif args.start and (reason := no_start(catalogue.get(args.start), args.base)):
        raise ValueError(reason)
    if args.seed is not None:
        settings["train.seed"] = str(args.seed)
    before = (trainer, own)
    cfg, own = configs(args.method, settings, trainer, own)
    told = saved.get("command") if (cfg, own) == before else None
    if told is None:  # a new run, or one that goes on with other settings from its newest checkpoint
        found, _ = checkpoint.newest(run)
        at = checkpoint.step_of(found) if found else None
        told = resumed(saved, at, args, settings) if at else command(args, cfg, own, defaults(module))
    run.mkdir(parents=True, exist_ok=True)
    with (run / "lock").open("w") as lock:
        acc = Accelerator(mixed_precision={"fp32": "no"}.get(cfg.precision, cfg.precision), cpu=several_on_cpu())
        if acc.is_main_process:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"run {args.run!r} is being trained by another process") from None
            facts = {
                "run": args.run,
                "method": args.method,
                "base": args.base,
                "start": saved.get("start") or (start.keep(catalogue.get(args.start), run) if args.start else None),
                "latents": latents_of(args.base),
                "base_sha256": saved.get("base_sha256", weights_of(args.base)),
                "dataset": args.dataset,
                "skip_bad": args.skip_bad,
                "config": dataclasses.asdict(own),
                "train": dataclasses.asdict(cfg),
                "command": told,
            }
            described.write_text(json.dumps(facts, indent=1))
        acc.wait_for_everyone()
        if cfg.batch_size % (acc.num_processes * cfg.accumulate):
            raise ValueError(
                f"train.batch_size={cfg.batch_size} does not divide by {acc.num_processes} processes × "
                f"train.accumulate={cfg.accumulate}"
            )
        return run_training(args, run, module, cfg, own, acc)


def run_training(args: argparse.Namespace, run: Path, module, cfg: TrainConfig, own: object, acc: Accelerator) -> int:
    stop = Stop(args.minutes, args.until)
    settle()
    samples = cfg.steps * cfg.batch_size
    begun = run if args.start else None
    t = prepare(Asked(module, own, args.base, args.dataset, cfg.seed, args.skip_bad, samples, begun), cfg, acc)
    reach(t)
    report = Reporter(run, cfg, enabled=acc.is_main_process)
    found, faults = checkpoint.newest(run) if args.resume else (None, [])
    for fault in faults:
        report.say(f"passed over {fault}")
    if found:
        t.restore(checkpoint.load(found))
    report.start(t)
    if cfg.compile:
        network = t.scene.world.student.network
        if network is None:
            raise ValueError("train.compile=true takes a student that is one network; leave it out")
        network.forward = torch.compile(network.forward)
    with attention(acc.device):
        return loop(t, report, run, stop)


def main(argv: list[str] | None = None) -> int:
    args = parser(__doc__).parse_args(argv)
    try:
        return train(args)
    except (ValueError, FileNotFoundError) as e:
        message, status = str(e), FAULTY
    except (MemoryError, OSError, RuntimeError) as e:
        message, status = trouble(e), 1
        if message is None:
            raise
    print(f"distill.train: {message}", file=sys.stderr)
    Events(run_dir(args.run)).write("error", message=message)
    return status


if __name__ == "__main__":
    sys.exit(main())
