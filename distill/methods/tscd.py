"""Hyper-SD (Ren et al. 2024): trajectory-segmented consistency, then feedback and score distillation, in one LoRA.

    a = jump(x_t; student; t -> s),  b = jump(x_r; student, no gradient; r -> s),  x_r = jump(x_t; teacher; t -> r)
    L = huber(a, b) + adversarial(x0),      s drawn in [start of the segment of r, r]              (Sec. 3.1, Eq. 7)

Segments merge, 8 -> 4 -> 2 -> 1, so that one step is reached gradually. `jump` is one DDIM step (the teacher's is
guided), so one student serves all step counts. One-step pictures also get a hinged reward, from `feedback_from` for
`feedback_steps` (Sec. 3.2, `feedback.py`), and distribution matching from `score_from` on (Sec. 3.3, `dmd.py`). The
consistency loss goes on beside both, which keeps 8 steps good.
"""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import TCDScheduler
from torch import Tensor

from core.fields import option
from distill import students
from distill.adversary import Adversary
from distill.losses import huber
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.serve import Steps, Trained, few_steps
from models.denoiser import Cond, Denoiser
from models.guidance import guided
from models.schedule import VP, add_noise, ddim, like

ABOUT = "Hyper-SD: trajectory-segmented consistency, one LoRA for 1, 2, 4 and 8 steps."
BASES = ("sd", "sdxl")
BEFORE = 1_000_000_000  # older runs wrote this step for "never"
STEPS = 2400


def begins(step: int | None) -> int | None:
    """The step at which a part of the loss begins; None where it has no part."""
    return None if step == BEFORE else step


@dataclass(frozen=True)
class Config:
    lr: float = option(3e-4, "Learning rate of the student.", low=0, high=1)
    critic_lr: float = option(3e-4, "Learning rate of the discriminator and of the fake score.", low=0, high=1)
    rank: int = option(32, "Rank of the LoRA; 0 trains the whole network.", low=0, high=1024)
    grid: int = option(40, "Steps of the teacher's solver from noise to data.", low=1)
    segments: tuple[int, ...] = option((8, 4, 2, 1), "Number of segments in each stage.", low=1, length=(1, 16))
    stage_steps: int = option(500, "Steps of each stage; the last stage goes on to the end.", low=1)
    guidance: float = option(3.0, "Guidance of the teacher.", low=0, high=30)
    huber_c: float = option(0.03, "Huber's constant: below this distance the loss is smooth.", low=0, high=1e6)
    adversarial: tuple[float, ...] = option(
        (0.0, 0.0, 0.01, 0.02),
        "Weight of the discriminator at each number of segments.",
        low=0,
        high=1e6,
        length=(1, 16),
    )
    feedback: float = option(0.1, "Weight of the reward.", low=0, high=1e6)
    feedback_from: int | None = option(None, "The step at which the reward begins; none: it has no part.", low=0)
    feedback_steps: int = option(
        200, "Number of steps with the reward; with more, the student learns to cheat it.", low=0
    )
    threshold: float = option(-0.1, "Log probability of the prompt's content above which there is no reward.", high=0)
    score: float = option(1.0, "Weight of score distillation.", low=0, high=1e6)
    score_from: int | None = option(None, "The step at which score distillation begins; none: it has no part.", low=0)
    ratio: int = option(5, "Critic steps for each step of score distillation.", low=1)
    first: float = option(1.0, "Time of pure noise for a run of one step.", low=0.001, high=1)
    blocks: tuple[int, ...] = option(
        (1, 3, 5, 7), "Teacher blocks that the discriminator sees.", low=0, length=(1, 100), order="rising"
    )

    def __post_init__(self) -> None:
        if any(self.grid % k for k in self.segments):
            raise ValueError(f"segments={self.segments}: each must divide the solver's grid of {self.grid} steps")
        if len(self.adversarial) != len(self.segments):
            raise ValueError(f"adversarial={self.adversarial}: give one weight for each of segments={self.segments}")

    @property
    def rewarded(self) -> bool:
        """Whether a judge rewards."""
        return begins(self.feedback_from) is not None

    @property
    def stages(self) -> dict[str, int]:
        """The step at which each stage begins."""
        later = {"feedback": self.feedback_from, "score distillation": self.score_from}
        merging = {f"{k} segments": i * self.stage_steps for i, k in enumerate(self.segments)}
        return merging | {name: begun for name, step in later.items() if (begun := begins(step)) is not None}


student = students.student


def also_needs(cfg: Config) -> set[str]:
    """The judge, where the settings have a reward."""
    return {"judge"} if cfg.rewarded else set()


def jump(net, x: Tensor, t: Tensor, s: Tensor, cond: Cond) -> Tensor:
    """One DDIM step of the denoiser from t to s (CTM, Kim et al. 2024)."""
    return ddim(net.schedule, x, net(x, t, cond).float(), t, s)


def times(n: Tensor, u: Tensor, segments: int, grid: int) -> tuple[Tensor, Tensor, Tensor]:
    """Times t = n / grid, their neighbours r, and ends s at the share u of the way from r to their segment's start."""
    t, r = n / grid, (n - 1) / grid
    start = ((n - 1) * segments // grid) / segments
    return t, r, r + u * (start - r)


class Method:
    needs = {"latents", "teacher", "features"}

    def __init__(self, world: World, cfg: Config):
        self.w, self.cfg = world, cfg
        self.players = {"student": Player(world.student, cfg.lr, ema=True)}
        self.stages = cfg.stages
        self.feedback_from, self.score_from = begins(cfg.feedback_from), begins(cfg.score_from)
        starts = [i * cfg.stage_steps for i, a in enumerate(cfg.adversarial) if a]
        self.heads: Adversary | None = None
        self.fake: Denoiser | None = None
        if starts:
            self.heads = Adversary(needed(world.features)(cfg.blocks))
            self.players["heads"] = Player(self.heads, cfg.critic_lr, start=starts[0])
        if self.score_from is not None:
            source: Denoiser = world.teacher if isinstance(world.teacher, Denoiser) else world.student
            self.fake = copy.deepcopy(source).requires_grad_(True)
            self.players["fake"] = Player(self.fake, cfg.critic_lr, start=max(0, self.score_from - 200))

    def stage(self, step: int) -> int:
        return min(step // self.cfg.stage_steps, len(self.cfg.segments) - 1)

    def one_step(self, batch: Batch, rng: Rows) -> Tensor:
        x0, cond = batch.latents
        return students.simulate(self.w.student, rng.randn_like(x0), cond, (self.cfg.first,), 0, rng)

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        if player == "student":
            return self.student_loss(batch, rng)
        x0, cond = batch.latents
        with torch.no_grad():
            x = self.one_step(batch, rng)
        if player == "fake":
            return Out(students.denoising(needed(self.fake), x, cond, rng).mean())
        tell, right = needed(self.heads).tell(x0, x, cond, rng)
        return Out(tell.mean(), {"accuracy": right})

    def student_loss(self, batch: Batch, rng: Rows) -> Out:
        cfg, stage = self.cfg, self.stage(batch.step)
        loss = self.consistency(batch, cfg.segments[stage], rng)
        logs = {"consistency": loss.detach().mean(), "segments": loss.new_tensor(float(cfg.segments[stage]))}
        parts = self.one_step_parts(batch, cfg.adversarial[stage], rng)
        for name, part in parts.items():
            loss, logs = loss + part, logs | {name: part.detach().mean()}
        return Out(loss.mean(), logs)

    def consistency(self, batch: Batch, segments: int, rng: Rows) -> Tensor:
        """The loss [B] of consistency: neighbours on the guided teacher's path must land on one point."""
        cfg, teacher, b = self.cfg, needed(self.w.teacher), len(batch)
        x0, cond = batch.latents
        n = rng.randint(1, cfg.grid + 1, b)
        t, r, s = times(n, rng.rand(b), segments, cfg.grid)
        x_t = add_noise(teacher.schedule, x0, rng.randn_like(x0), t)
        with torch.no_grad():
            answer = guided(teacher, x_t, t, cond, self.w.null_like(cond), cfg.guidance)
            x_r = ddim(teacher.schedule, x_t, answer, t, r)
            later = r.clamp_min(0.5 / cfg.grid)  # never 0, where x_r itself is the answer
            target = torch.where(like(r > s, x_r), jump(self.w.student, x_r, later, s, cond), x_r)
        return huber(jump(self.w.student, x_t, t, s, cond), target, cfg.huber_c)

    def one_step_parts(self, batch: Batch, adversarial: float, rng: Rows) -> dict[str, Tensor]:
        """The weighted losses on one-step pictures by name, [B] each."""
        cfg, parts = self.cfg, {}
        feedback = self.feedback_from is not None and 0 <= batch.step - self.feedback_from < cfg.feedback_steps
        score = self.score_from is not None and batch.step >= self.score_from and batch.step % cfg.ratio == 0
        if not (adversarial or feedback or score):
            return parts
        x, (_, cond) = self.one_step(batch, rng), batch.latents
        if adversarial:
            parts["adversarial"] = adversarial * needed(self.heads).fool(x, cond, rng)
        if feedback:
            parts["feedback"] = cfg.feedback * students.hinged(needed(self.w.judge), x, batch, cfg.threshold)
        if score:
            null = self.w.null_like(cond)
            teacher, fake = needed(self.w.teacher), needed(self.fake)
            matched, _ = students.matching(x, teacher, fake, cond, null, cfg.guidance, rng)
            parts["score"] = cfg.score * matched * x[0].numel()
        return parts

    @torch.no_grad()
    def preview(self, batch: Batch) -> Tensor:
        """Samples of one step, from fixed noise."""
        rng = Rows(0, 0, len(batch), device=needed(batch.x0).device)
        return needed(self.w.show)(self.one_step(batch, rng))


def serve(made: Trained, home: Path) -> dict:
    return few_steps(made, home, TCDScheduler, segment_starts(made.cfg.first)) | {"eta": 0.3}


def segment_starts(first: float) -> Steps:
    """The timesteps of each step count: the noisy ends of as many segments. One step has the time of its training."""
    n = VP.num_train_timesteps
    tables = {str(k): [round(n * (1 - i / k)) - 1 for i in range(k)] for k in (2, 4, 8)}
    return {"1": [round(first * n) - 1]} | tables
