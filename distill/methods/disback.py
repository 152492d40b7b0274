"""DisBack, distribution backtracking (Zhang et al. 2024): distribution matching along a recorded path to the teacher.

recording:     the fake score, which starts as the teacher, learns the pictures of the untrained student; `nodes` of its
               states on the way are stored
backtracking:  the target of distribution matching is the last of these states, then the one before, …, then the teacher

So the target's distribution always overlaps with that of the student's pictures. This follows the paper; in the paper's
repository the target never moves (docs/methods/disback.md).
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from core.fields import option
from distill.method import Batch, Out, Rows, World
from distill.methods import dmd
from models import weights
from models.denoiser import Predicts

ABOUT = "DisBack: distribution matching that walks back from bad pictures to the teacher."
BASES = ("sd", "sdxl")
STEPS = 5000


@dataclass(frozen=True)
class Config(dmd.Config):
    times: tuple[float, ...] = (0.4,)
    adversarial: float = 0.0
    alone: int = option(500, "Steps that record the path, before the student's first update.", low=1)
    nodes: int = option(5, "Points of the path that are kept as targets.", low=1)
    per_node: int = option(300, "Steps on each target; the rest of the run uses the teacher.", low=1)

    def __post_init__(self) -> None:
        if self.alone % self.nodes:
            raise ValueError(f"alone={self.alone}: recording is cut into {self.nodes} equal parts (nodes)")

    @property
    def stages(self) -> dict[str, int]:
        """The step at which each stage begins."""
        return {"the teacher is the target": self.alone + (self.nodes - 1) * self.per_node}


student, serve = dmd.student, dmd.serve


class Method(dmd.Method[Config]):
    def __init__(self, world: World, cfg: Config):
        super().__init__(world, cfg)
        self.path: list[dict[str, Tensor]] = []  # states of the fake score, the nearest to the teacher first
        self.keeps = cfg.nodes * 2 * sum(w.numel() for w in self.fake_state().values())
        self.at, self.node = None, copy.deepcopy(self.fake).requires_grad_(False)

    def loss(self, player: str, batch: Batch, rng: Rows) -> Out:
        """The critic's turns up to `alone` record the path: a state is stored before the next update."""
        every = self.cfg.alone // self.cfg.nodes
        if player == "critic" and len(self.path) < min(batch.step // every, self.cfg.nodes):
            self.path.append({k: v.detach().to(torch.bfloat16, copy=True) for k, v in self.fake_state().items()})
        return super().loss(player, batch, rng)

    def fake_state(self) -> dict[str, Tensor]:
        return dict(self.fake.state_dict())

    def which(self, step: int) -> int:
        """The index of the target on the path: the farthest node first; -1 is the teacher."""
        return max(-1, self.cfg.nodes - 2 - (step - self.cfg.alone) // self.cfg.per_node)

    def target(self, step: int) -> Predicts:
        """The network of the target. The fake score starts at the farthest node, so the first target is the one before
        it (Alg. 2)."""
        index = self.which(step)
        if index < 0:
            return super().target(step)
        if index != self.at:
            before = weights.digest(self.node)
            self.node.load_state_dict(self.path[index])
            assert weights.digest(self.node) != before, "the target did not move"
            self.at = index
        return self.node

    def guidance(self, step: int) -> float:
        """The target's guidance. A node has none, as it learnt the student's pictures with their prompts, and nothing
        about the empty prompt."""
        return self.cfg.guidance if self.which(step) < 0 else 1.0

    def state_dict(self) -> dict[str, Tensor]:
        return {f"{i}.{k}": v for i, node in enumerate(self.path) for k, v in node.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        places = sorted({int(k.partition(".")[0]) for k in state})
        self.path = [{k.partition(".")[2]: v for k, v in state.items() if k.startswith(f"{i}.")} for i in places]
        self.at = None
