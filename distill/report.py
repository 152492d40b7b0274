"""The reports of a training: events.jsonl, TensorBoard, sample grids, and a bar on a terminal or plain lines."""

import math
from collections import Counter, deque
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from core import checkpoint
from core.events import Events
from core.progress import Bar, lasted, say, size
from core.stage import Stages
from distill.mover import Mover
from distill.settings import TrainConfig

RECENT = 50  # last steps of each kind, from which the time left is estimated
FEW = 10  # steps after which the time left is printed, at the start and when another player begins
SHOWN = 16  # samples in a grid


def grid(pictures: Tensor, columns: int = 8) -> Image.Image:
    """Pictures [N, 3, H, W] in [-1, 1], side by side without gaps."""
    x = ((pictures.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    n, h, w, _ = x.shape
    rows = -(-n // columns)
    sheet = np.full((rows * h, min(n, columns) * w, 3), 255, np.uint8)
    for i, picture in enumerate(x):
        r, c = divmod(i, columns)
        sheet[r * h : (r + 1) * h, c * w : (c + 1) * w] = picture
    return Image.fromarray(sheet)


class Reporter:
    def __init__(self, run: Path, cfg: TrainConfig, enabled: bool = True):
        self.run, self.cfg, self.enabled = run, cfg, enabled
        self.sums: dict[str, Tensor] = {}
        self.due = 0
        self.movers: list[Mover] = []
        self.paces: dict[frozenset[str], deque[float]] = {}  # seconds of the last steps, by the players that moved
        if enabled:
            self.events = Events(run)
            self.stages = Stages(self.events)
            self.board = SummaryWriter(run / "tensorboard")
            self.bar = Bar(run.name, cfg.steps)

    def say(self, text: str) -> None:
        if self.enabled:
            say(text)

    def stage(self, name: str, done: int, total: int) -> None:
        """Report the progress of work before the steps, such as drawing pictures."""
        if self.enabled:
            self.stages(name, done, total)

    def start(self, step: int, movers: list[Mover], processes: int, held: int) -> None:
        """Print the size of the training, before its first step. `held`: bytes of memory besides activations."""
        self.movers = movers
        if not self.enabled:
            return
        self.bar.begin(step)
        resumed = {"resumed_from": step} if step else {}
        self.events.write("progress", stage="train", step=step, total=self.cfg.steps, **resumed)
        weights = sum(w.numel() for m in movers for w in m.weights.values())
        how = f"{self.cfg.precision}, {processes} process{'es' if processes > 1 else ''}"
        self.say(f"{self.run.name}: {weights:,} trainable parameters, {how}, from step {step}")
        need = f"{size(held)} for networks, gradients, moments and averages"
        self.say(f"{self.run.name}: {need}; the activations of a batch come on top")

    def seconds_left(self, step: int) -> float:
        """The estimate from earlier steps in which the same players moved; a step of an unknown kind counts as the
        longest. 0 at the end, and while no pace is known."""
        pace = {players: sum(spent) / len(spent) for players, spent in self.paces.items() if spent}
        longest = max(pace.values(), default=0.0)
        return sum(n * pace.get(players, longest) for players, n in self.coming(step).items())

    def coming(self, step: int) -> Counter[frozenset[str]]:
        """The number of steps left, by the players that move in them, extrapolated from one period of the turns."""
        counts: Counter[frozenset[str]] = Counter()
        period = math.lcm(*(m.every for m in self.movers))
        marks = {edge for m in self.movers for edge in (m.start, m.stop) if step < edge < self.cfg.steps}
        for first, end in pairwise(sorted({step, *marks, self.cfg.steps})):
            whole, rest = divmod(end - first, period)
            for i in range(min(period, end - first)):
                counts[frozenset(m.name for m in self.movers if m.turn(first + i))] += whole + (i < rest)
        return counts

    def step(self, step: int, logs: dict[str, Tensor], seconds: float) -> None:
        """Report a step. `step`: the number of steps done. `seconds`: the duration of the last one."""
        if not self.enabled:
            return
        players = frozenset(k.partition("/")[0] for k in logs)
        if players in self.paces:
            self.paces[players].append(seconds)
        else:  # the first step of its kind is slow, as it compiles
            self.paces[players], self.due = deque(maxlen=RECENT), step + FEW
        if self.due and step >= self.due and all(self.paces.values()):
            self.due = 0
            self.say(f"{self.run.name}: about {lasted(self.seconds_left(step))} left at the pace so far")
        for k, v in logs.items():
            v = v.detach().double()  # read only when it is shown, as reading waits for the GPU
            both = torch.stack([torch.where(v.isfinite(), v, 0), v.isfinite()])
            self.sums[k] = self.sums[k] + both if k in self.sums else both
        if step % self.cfg.log_every == 0 or step == self.cfg.steps:
            read = {k: v.tolist() for k, v in self.sums.items()}
            self.sums = {}
            self.write(step, {k: total / n for k, (total, n) in read.items() if n})

    def write(self, step: int, values: dict[str, float]) -> None:
        left = self.seconds_left(step)
        known = {"seconds_left": round(left, 1)} if left or step == self.cfg.steps else {}
        self.events.write("metric", step=step, values={k: float(f"{v:.6g}") for k, v in values.items()})
        self.events.write("progress", stage="train", step=step, total=self.cfg.steps, **known)
        for k, v in values.items():
            self.board.add_scalar(k, v, step)
        self.bar.show(step, values, left, self.cfg.batch_size, "samples")

    def shares(self, step: int, values: dict[str, float]) -> None:
        """Report the domains' shares and gaps."""
        if self.enabled:
            self.events.write("metric", step=step, values={k: float(f"{v:.4g}") for k, v in values.items()})
            for k, v in values.items():
                self.board.add_scalar(k, v, step)

    def sample(self, step: int, pictures: Tensor, right: dict[str, float]) -> None:
        """Write a sample grid. `right`: the share of right pictures by attribute, as a judge reads them."""
        path = self.run / "samples" / f"step-{step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        grid(pictures[:SHOWN]).save(path)
        if right:
            values = {f"student/right_{k}": float(f"{v:.4g}") for k, v in right.items()}
            self.events.write("metric", step=step, values=values)
            for k, v in values.items():
                self.board.add_scalar(k, v, step)
        self.events.write("sample", step=step, path=str(path.relative_to(self.run)))

    def checkpoint(self, folder: Path, step: int, seconds: float) -> None:
        """Report a checkpoint. `seconds`: the time that writing it took."""
        where = str(folder.relative_to(self.run))
        self.events.write("checkpoint", step=step, path=where, seconds=round(seconds, 3))

    def error(self, message: str) -> None:
        self.say(message)
        if self.enabled:
            self.events.write("error", message=message)

    def done(self, step: int) -> None:
        if not self.enabled:
            return
        self.bar.end()
        newest = checkpoint.folders(self.run)[0]
        self.events.write("done", step=step, outputs=[str(newest.relative_to(self.run))])
        self.board.close()
