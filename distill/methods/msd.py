"""Multi-student distillation (Song et al. 2024): one small student for each part of the prompts.

score matching (TSM):   one small student, which begins as every second channel of the teacher, learns the teacher's
                        guided answers; then all students start as copies of it                  [0, matching)
distribution matching:  DMD, each student with a fake score of its own size                      [matching, …)
adversarial (ADM):      + a discriminator that sees each part's own data                         [adversarial_from, …)

The students are one `Routed` denoiser: each row of a batch goes to its prompt's student, so an update costs as much as
that of one student. Pairs of noise and the teacher's picture (`pairs`) are not filtered: each goes to a student that is
drawn at random, not to its prompt's, as App. B.2 found that filtering loses modes.
"""

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from core.fields import option
from distill import students
from distill.adversary import T_MIN
from distill.method import Batch, Out, Player, Rows, World, needed
from distill.methods import dmd
from models.denoiser import Denoiser
from models.guidance import guided
from models.route import Routed, Router
from models.schedule import add_noise

ABOUT = "Multi-student distillation: small students, each for a part of the prompts, and a router."
BASES = ("sd",)
STEPS = 6000


@dataclass(frozen=True)
class Config(dmd.Config):
    lr: float = 3e-4
    fake_lr: float = 3e-4
    students: Literal[1, 2, 4, 8, 16] = option(4, "Number of small students; each takes a part of the prompts.")
    width: float = option(0.5, "Width of each student, as a share of the teacher's.", low=0.05, high=1)
    matching: int = option(2000, "Steps of score matching.", low=0)
    matching_lr: float = option(1e-3, "Learning rate of score matching.", low=0, high=1)
    adversarial_from: int = option(4000, "The step at which the discriminator begins.", low=0)
    times: tuple[float, ...] = (0.4,)
    pairs: float = 0.25
    several = True  # networks

    @property
    def stages(self) -> dict[str, int]:
        """The step at which each stage begins."""
        begins = {"distribution matching": self.matching}
        return begins | ({"adversarial": self.adversarial_from} if self.adversarial else {})


def student(cfg: Config, base: Denoiser | None) -> Routed:
    """Small students, all equal at first. The router is fitted when the method has the prompts."""
    base = students.taught(base)
    if not base.several:
        raise ValueError("msd sends prompts to students of a Stable Diffusion, such as toybox-sd; this base is an SDXL")
    levels, first = cfg.students.bit_length() - 1, base.smaller(cfg.width)
    empty = Router(torch.zeros(levels, base.token_width), torch.zeros(2**levels - 1))
    return Routed(empty, [copy.deepcopy(first) for _ in range(cfg.students)])


serve = dmd.serve


class Method(dmd.Method[Config]):
    needs = {"latents", "teacher", "features", "prompts"}

    def __init__(self, world: World, cfg: Config):
        world.student.router.load_state_dict(Router.fit(needed(world.prompts), cfg.students).state_dict())
        super().__init__(world, cfg)
        self.players = {
            "matching": Player(world.student.members[0], cfg.matching_lr, stop=cfg.matching),
            "student": Player(world.student, cfg.lr, every=cfg.ratio, start=cfg.matching, ema=True),
            "critic": Player(self.critic, cfg.fake_lr, start=cfg.matching),
        }

    def fake_of(self, world: World) -> Denoiser:
        """Fake scores of the students' size."""
        return copy.deepcopy(world.student)

    def adversarial(self, step: int) -> float:
        return self.cfg.adversarial if step >= self.cfg.adversarial_from else 0.0

    def begin(self, player: str) -> None:
        """At the end of score matching, copy the first student to the others and to the fake scores, once."""
        if player == ("critic" if self.cfg.matching % self.cfg.ratio else "student"):
            self.spread()
            self.fake.load_state_dict(self.w.student.state_dict())

    def spread(self) -> None:
        """Copy the first student's weights to all students."""
        first, *others = self.w.student.members
        for other in others:
            other.load_state_dict(first.state_dict())

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        if player == "matching":
            self.spread()  # so that a training that ends here can be served
            return Out(self.score_matching(batch, rng).mean())
        return super().loss(player, batch, rng)

    def painter(self, rng: Rows) -> Denoiser:
        """A student, drawn at random."""
        return self.w.student.members[int(rng.shared() * self.cfg.students)]

    def score_matching(self, batch: Batch, rng: Rows) -> Tensor:
        """The loss [B] against the teacher's guided answers, on data of all parts (TSM, Eq. 9)."""
        net, (x0, cond) = self.w.student.members[0], batch.latents
        t = T_MIN + (1 - T_MIN) * rng.rand(len(batch))
        x_t = add_noise(net.schedule, x0, rng.randn_like(x0), t)
        with torch.no_grad():
            answer = guided(needed(self.w.teacher), x_t, t, cond, self.w.null_like(cond), self.cfg.guidance)
        return students.apart(net, x_t, t, cond, answer)
