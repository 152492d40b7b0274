"""The one training loop of all methods.

Random numbers are a function of (seed, step, index of the sample in the global batch), and checkpoints are atomic. So a
run that was killed and resumed equals, bit for bit on one thread, a run that was not.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Protocol

import torch
from torch import Tensor, nn

from core import checkpoint
from core.events import NON_FINITE
from core.stop import Stop
from distill.fitting import unreached
from distill.method import Batch, Begins, Keeps, Method, Out, Previews, Remembers, Rows, Staged, Strips
from distill.mix import UPDATES, Mix
from distill.mover import Mover, ema_rate, moves, rate
from distill.report import SHOWN, Reporter
from distill.settings import TrainConfig
from distill.world import Scene, SceneRequest, build

MAX_SKIPS = 5
JUDGED = 48  # samples that the judge reads


class Processes(Protocol):
    """The processes that train a run together: this one's device and index, and how they exchange tensors.

    accelerate's Accelerator implements it; `distill/train.py` makes one.
    """

    @property
    def num_processes(self) -> int: ...
    @property
    def process_index(self) -> int: ...
    @property
    def is_main_process(self) -> bool: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def autocast(self) -> Callable[..., contextlib.AbstractContextManager]: ...
    def reduce(self, tensor: Tensor, reduction: str) -> object: ...
    def wait_for_everyone(self) -> None: ...


@dataclass(frozen=True)
class Alone:
    """One process, in fp32."""

    num_processes: int = 1
    process_index: int = 0
    is_main_process: bool = True
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def autocast(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()

    def reduce(self, tensor: Tensor, reduction: str) -> object:
        return tensor

    def wait_for_everyone(self) -> None: ...


ALONE = Alone()


def reduced(processes: Processes, x: Tensor, how: str = "mean") -> Tensor:
    """A tensor reduced over all processes."""
    out = processes.reduce(x, how)
    assert isinstance(out, Tensor), "one tensor gives one"
    return out


@dataclass
class Trainer:
    """The state of a training: everything that a step needs and a checkpoint holds."""

    method: Method
    scene: Scene
    cfg: TrainConfig
    processes: Processes
    movers: list[Mover]
    step: int = 0
    samples: int = 0
    skipped: int = 0
    in_a_row: int = 0
    mix: Mix | None = None
    mixed: dict[str, float] | None = None  # the domains' shares and gaps, after a step at which they were updated

    def slices(self, player: int) -> Iterator[tuple[Batch, Rows]]:
        """This process's part of the batch, in `accumulate` slices, each with the random numbers of its rows."""
        share = self.cfg.batch_size // (self.processes.num_processes * self.cfg.accumulate)
        for i in range(self.cfg.accumulate):
            start = (self.processes.process_index * self.cfg.accumulate + i) * share
            where = self.cfg.seed, self.step, self.cfg.batch_size, start
            drawn = self.scene.batch(self.step, share, Rows(*where))
            yield drawn, Rows(*where, stream=player + 1, device=self.processes.device)

    def move(self, index: int, mover: Mover) -> dict[str, Tensor]:
        """One turn of a player: gradients are summed over slices and processes, and clipped. Where they are not finite,
        the step is skipped."""
        for w in (w for other in self.movers for w in other.weights.values()):
            w.requires_grad_(False)
        for w in mover.weights.values():
            w.requires_grad_(True)
        logs: dict[str, Tensor] = {}
        for batch, rng in self.slices(index):
            with self.processes.autocast():
                out: Out = self.method.loss(mover.name, batch, rng)
            (out.loss / self.cfg.accumulate).backward()
            for k, v in {"loss": out.loss.detach(), **out.logs}.items():
                logs[k] = logs.get(k, 0) + v.float() / self.cfg.accumulate
        if self.processes.num_processes > 1:
            for w in mover.weights.values():
                w.grad = reduced(self.processes, torch.zeros_like(w) if w.grad is None else w.grad)
            logs = {k: reduced(self.processes, v) for k, v in logs.items()}
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
        due = self.mix if self.mix is not None and self.step % self.mix.every == 0 else None
        self.mixed = due and due.update()
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
        """Within: all players that have a moving average have its weights."""
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

    @torch.no_grad()
    def draw(self) -> tuple[Tensor, dict[str, float]] | None:
        """Samples on fixed seeds, with the moving average where there is one, and the judge's readings of them."""
        if not isinstance(self.method, Previews):
            return None
        judged = None if isinstance(self.method, Strips) else self.scene.judged
        n = min(JUDGED if judged else SHOWN, self.cfg.batch_size)
        batch = self.scene.batch(0, n, Rows(self.cfg.seed + 1, 0, n))
        with self.averaged(), self.processes.autocast():
            pictures = self.method.preview(batch)
        return pictures, judged(pictures, batch) if judged else {}

    def held(self) -> int:
        """Bytes of networks, gradients, moments and averages, and of the networks that the method will store."""
        world, own = self.scene.world, vars(self.method).values()
        players = [p.module for p in self.method.players.values()]
        networks = [world.student, world.teacher, *self.scene.beside, *own, *players]
        weights = {w for net in networks if isinstance(net, nn.Module) for w in net.parameters()}
        moved = {w for m in self.movers for w in m.weights.values()}
        size = sum(w.numel() * w.element_size() for w in weights | moved)
        size += sum(3 * w.numel() * w.element_size() for w in moved)  # a gradient and two moments
        size += sum(w.numel() * w.element_size() for m in self.movers for w in (m.ema or {}).values())
        return size + (self.method.keeps if isinstance(self.method, Keeps) else 0)

    def saved(self) -> checkpoint.Saved:
        tensors: dict[str, dict[str, Tensor]] = {m.name: dict(m.weights) for m in self.movers}
        tensors |= {f"{m.name}.buffers": m.buffers for m in self.movers if m.buffers}
        averages = {f"{m.name}.ema": m.average(self.step) for m in self.movers}
        tensors |= {name: average for name, average in averages.items() if average is not None}
        if isinstance(self.method, Remembers):
            tensors["method"] = self.method.state_dict()
        if self.mix is not None:
            tensors["mix"] = {"shares": self.mix.shares}
        counters = {"samples_seen": self.samples, "skipped": self.skipped}
        optimisers = {m.name: {k: o.state_dict() for k, o in m.optimisers.items()} for m in self.movers}
        return checkpoint.Saved(self.step, tensors, optimisers, counters)

    def restore(self, saved: checkpoint.Saved) -> None:
        """Set the state of a checkpoint. A player that the settings have added since, such as heads, starts anew."""
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
            assert isinstance(self.method, Remembers), "a method that saved state can load it"
            self.method.load_state_dict(saved.tensors["method"])
        if self.mix is not None and "mix" in saved.tensors:
            self.mix.draw(saved.tensors["mix"]["shares"])
        self.step, self.samples, self.skipped = saved.step, saved.counters["samples_seen"], saved.counters["skipped"]


def prepare(scene_request: SceneRequest, cfg: TrainConfig, processes: Processes = ALONE) -> Trainer:
    """A trainer at step 0; by default in one process on the CPU, in fp32."""
    device = processes.device
    torch.manual_seed(cfg.seed)  # the initial weights of new networks
    scene = build(scene_request, device)
    method = scene_request.module.Method(scene.world, scene_request.cfg)
    for player in method.players.values():
        player.module.to(device)  # modules that the method made itself, such as heads
    moving = [moves(name, p, cfg.weight_decay, cfg.optimizer) for name, p in method.players.items()]
    return Trainer(method, scene, cfg, processes, moving, mix=mixing(scene, cfg))


def mixing(scene: Scene, cfg: TrainConfig) -> Mix | None:
    """The shares of the domains, where they follow the gaps. Raises ValueError where there are none."""
    if cfg.mix == "usual":
        return None
    if scene.domains is None:
        raise ValueError("train.mix=gap needs a method that is trained on latents; valid for this one: usual")
    return Mix(scene.domains(), scene.world, cfg.mix_sharp, cfg.mix_every or max(cfg.steps // UPDATES, 1))


def defaults(module: ModuleType) -> TrainConfig:
    """The loop's default settings, with the method's usual number of steps."""
    return TrainConfig(steps=getattr(module, "STEPS", TrainConfig.steps))


def reach(t: Trainer) -> None:
    """Raises ValueError where the training would end before a stage of its method begins."""
    begins = {f"its {m.name}'s first turn": m.first for m in t.movers}
    begins |= t.method.stages if isinstance(t.method, Staged) else {}
    if reason := unreached(begins, t.cfg.steps):
        raise ValueError(reason)


def anywhere(processes: Processes, flag: bool) -> bool:
    """Whether the flag is true in any process, so that all stop after the same step."""
    if processes.num_processes == 1:
        return flag
    return bool(reduced(processes, torch.tensor(float(flag), device=processes.device), "sum") > 0)


def loop(t: Trainer, report: Reporter, run: Path, stop: Stop) -> int:
    cfg = t.cfg
    stop.begin()
    while t.step < cfg.steps:
        begun = time.monotonic()
        logs = t.advance()
        if t.mixed is not None:
            report.shares(t.step - 1, t.mixed)
        report.step(t.step, logs, time.monotonic() - begun)
        if t.in_a_row >= MAX_SKIPS:
            report.error(
                f"{MAX_SKIPS} steps in a row gave numbers that are not finite, up to step {t.step}; "
                f"resume goes on from the last checkpoint, a lower lr may help"
            )
            return NON_FINITE
        ended, signalled = t.step >= cfg.steps, anywhere(t.processes, bool(stop.signal))
        stopping = signalled or t.step == stop.until or anywhere(t.processes, stop.now())
        if t.processes.is_main_process:
            if t.step % cfg.sample_every == 0 or ended:
                with torch.compiler.set_stance("force_eager"):  # a few pictures are not worth compiling for
                    if (drawn := t.draw()) is not None:
                        report.sample(t.step, *drawn)
            if t.step % cfg.checkpoint_every == 0 or ended or stopping:
                begun = time.monotonic()
                folder = checkpoint.save(run, t.saved(), cfg.keep)
                report.checkpoint(folder, t.step, time.monotonic() - begun)
        t.processes.wait_for_everyone()  # a process that exits early would end the one that still writes
        if signalled and not ended:
            return stop.status
        if stopping:
            break  # the time is over, and the current state is the result
    report.done(t.step)
    return 0
