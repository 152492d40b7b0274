"""Routing of prompts to small students: median splits of prompt embeddings (multi-student distillation, Sec. 4.1).

The prompts are halved along their first principal direction, each half is halved along the second, and so on. So every
student has the same number of prompts. The directions and medians are saved beside the students.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models import weights
from models.denoiser import Cond, Denoiser
from models.manifest import ROUTER

FILE = "router.safetensors"


def pooled(cond: Cond) -> Tensor:
    """The mean of the tokens that the mask keeps, [B, D]."""
    mask = cond.mask[..., None].to(cond.tokens)
    return ((cond.tokens * mask).sum(1) / mask.sum(1).clamp_min(1)).float()


class Router(nn.Module):
    """Prompts -> the index of a student, by a tree of log2(K) levels. Its buffers are saved."""

    directions: Tensor
    medians: Tensor

    def __init__(self, directions: Tensor, medians: Tensor):
        """directions: [levels, D]; medians: [2^levels - 1], by level, left to right."""
        super().__init__()
        self.register_buffer("directions", directions)
        self.register_buffer("medians", medians)

    @classmethod
    def fit(cls, prompts: Cond, students: int) -> "Router":
        """A router that splits some thousand prompts equally. Raises ValueError unless `students` is a power of two."""
        levels = students.bit_length() - 1
        if students < 1 or students != 2**levels:
            raise ValueError(f"{students} students: medians split into 1, 2, 4, 8, … parts")
        x = pooled(prompts)
        directions = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh[:levels]
        directions = directions * directions.sum(1, keepdim=True).sign()  # the sign of an SVD is arbitrary
        parts, medians = [x], []
        for direction in directions:
            along = [p @ direction for p in parts]
            middles = [a.median() for a in along]
            medians += middles
            parts = [half for p, a, m in zip(parts, along, middles, strict=True) for half in (p[a <= m], p[a > m])]
        return cls(directions, torch.tensor(medians))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> "Router":
        weights.check(folder / FILE)
        return cls(**load_file(folder / FILE))

    @property
    def students(self) -> int:
        return len(self.medians) + 1

    def forward(self, cond: Cond) -> Tensor:
        """The index of each prompt's student, [B]."""
        x, node = pooled(cond), torch.zeros(len(cond), dtype=torch.long, device=cond.tokens.device)
        for level, direction in enumerate(self.directions):
            right = x @ direction > self.medians[2**level - 1 + node]
            node = 2 * node + right
        return node


def member_folder(folder: str, i: int) -> str:
    """The folder of student i. The first has the folder that a single one would have."""
    return f"{folder}-{i}" if i else folder


class Routed(Denoiser):
    """Several denoisers in one: each row of a batch goes to the student of its prompt. All share prediction and
    schedule."""

    def __init__(self, router: Router, members: Sequence[Denoiser]):
        super().__init__(None)
        self.router, self.members = router, nn.ModuleList(members)
        self.prediction, self.schedule = members[0].prediction, members[0].schedule

    def route(self, cond: Cond) -> list[int]:
        return self.router(cond).tolist()

    def save(self, home: Path, folder: str = "") -> None:
        self.router.save(home / ROUTER)
        for i, member in enumerate(self.members):
            assert isinstance(member, Denoiser), "all members are"
            member.save(home, member_folder(folder or member.folder, i))

    def predict(self, x_t: Tensor, t: Tensor, cond: Cond) -> Tensor:
        where, out = self.router(cond), None
        for i in where.unique().tolist():
            rows = (where == i).nonzero()[:, 0]
            member = self.members[i]
            assert isinstance(member, Denoiser), "all members are"
            part = member.predict(x_t[rows], t[rows], cond.map(lambda v, rows=rows: v[rows]))
            out = torch.zeros_like(x_t, dtype=part.dtype) if out is None else out
            out = out.index_copy(0, rows, part)
        assert out is not None, "a batch holds at least one row"
        return out
