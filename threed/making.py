"""The state of a run of text to 3D: its stage, one step, and the contents of a checkpoint.

    shape    fields are fitted to the teacher's targets for their renders, one round a step, the candidates in turn;
             where the teacher knows only a front, a picture is inflated
    mesh     the best field is cut out as one closed surface
    skin     colours are fitted on that surface
    export   the texture, the files and a turntable are written

Every step is a function of the state before it and of its number, so a run that was killed and resumed gives the same
result.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from torch import Tensor

from core.checkpoint import Saved
from threed import fields
from threed.choose import quality
from threed.cushion import cushion, given, painted
from threed.fit import FINER, Particle, draws
from threed.mesh import Cut, cut
from threed.modes import scores
from threed.pool import Pictures
from threed.request import ThreeDRequest
from threed.rounds import Guide, dress, shape
from threed.score import ScoreNetwork
from threed.skin import Skin
from threed.surface import Surface
from threed.teacher import Teacher

TRIES = 3  # attempts at a round whose numbers are not finite
EMPTY, FULL = 0.002, 0.9  # shares of occupied cells below and above which there is no surface
AGAIN = 1_000_003  # added to the seed for a second attempt
FINE = 1.3  # the time of a round of the fine grid, in rounds of the coarse one, and of other steps (measured medians)
COSTS = {"shape": 1.0, "mesh": 0.4, "skin": 2.6, "export": 2.6}
LATE = 0.6  # progress at which a thing starts that goes on from another


class NotFinite(ArithmeticError):
    """A round gave numbers that are not finite, several times in a row."""


def fault(one: Particle) -> str | None:
    """One sentence where a field shows nothing that can be cut out."""
    share = float(one.cells.float().mean())
    if share < EMPTY:
        return "the scene is empty: the teacher's pictures showed nothing that could be told from their backgrounds"
    if share > FULL:
        return "the scene is full of fog: the teacher's pictures did not agree on a silhouette"
    return None


@dataclass
class Making:
    request: ThreeDRequest
    teacher: Teacher
    bf16: bool
    say: Callable[[str], None] = print

    def __post_init__(self) -> None:
        self.step = self.restarts = self.best = 0
        self.particles: list[Particle] = []
        self.score: ScoreNetwork | None = None
        self.cut: Cut | None = None
        self.skin: Skin | None = None
        self._begin()

    @property
    def plan(self) -> dict[str, int]:
        """The number of steps of each stage."""
        r = self.request
        if r.one_sided:
            return {"shape": 0 if r.start else r.seeds, "mesh": 1, "skin": 0, "export": 1}
        return {"shape": r.rounds * r.seeds, "mesh": 1, "skin": r.skin, "export": 1}

    @property
    def total(self) -> int:
        return sum(self.plan.values())

    def where(self, step: int | None = None) -> tuple[str, int]:
        """The stage of a step, the next one unless given, and its number in that stage."""
        left = self.step if step is None else step
        for name, steps in self.plan.items():
            if left < steps:
                return name, left
            left -= steps
        return "done", 0

    def cost(self, begin: int, end: int) -> float:
        """The time of these steps, in coarse rounds."""
        stages = [self.where(step) for step in range(begin, end)]
        return sum(FINE if name == "shape" and self._progress(n) >= FINER else COSTS[name] for name, n in stages)

    @property
    def guide(self) -> Guide:
        r = self.request
        return Guide(self.teacher, r.mode, r.seed + AGAIN * self.restarts, r.rays)

    def _begin(self) -> None:
        kind, first = self.request.field, self.request.seed + AGAIN * self.restarts
        self.particles = [Particle.new(kind=kind, seed=first + i) for i in range(self.request.seeds)]
        if scores(self.request.mode) and not self.request.one_sided and self.score is None:
            start = draws(self.request.seed, "score")
            self.score = ScoreNetwork(self.teacher.parts.denoiser, start, self.bf16)

    def advance(self) -> dict[str, float]:
        """One step of any stage but export. Returns its measurements. Raises NotFinite or ValueError."""
        stage, number = self.where()
        logs = {"shape": self._shape, "mesh": self._mesh, "skin": self._skin}[stage](number)
        self.step += 1
        if stage == "shape" and self.where()[0] == "mesh":
            self._look()
        return logs

    def _shape(self, number: int) -> dict[str, float]:
        which = number % self.request.seeds
        if self.request.one_sided:
            seed = self.guide.seed + which
            self.particles[which] = cushion(given(self.request.picture) or painted(self.teacher, seed))
            return {}
        progress = self._progress(number)
        for attempt in range(TRIES):
            before = self.particles[which].copy()
            logs = shape(self.particles[which], self.guide, self.score, (number, attempt), progress)
            if self.particles[which].finite:
                return logs
            self.particles[which] = before
            self.say(f"round {number} gave numbers that are not finite; it is taken back")
        raise NotFinite(f"round {number} gave numbers that are not finite, {TRIES} times over; another seed may help")

    def _progress(self, number: int) -> float:
        """The progress in [0, 1) of a round of the shape."""
        progress = number // self.request.seeds / max(self.request.rounds, 1)
        return LATE + (1 - LATE) * progress if self.request.start else progress

    def _look(self) -> None:
        """Start again with another seed, once, where no field shows anything. Raises ValueError the second time."""
        faults = [fault(one) for one in self.particles]
        if None in faults:
            return
        if self.request.start or self.request.picture:
            raise ValueError(faults[0])
        if self.restarts:
            raise ValueError(f"{faults[0]}; twice. Another prompt or seed may help")
        self.say(f"{faults[0]}; once more with another seed")
        self.restarts, self.step = 1, 0
        self._begin()

    def _mesh(self, _: int) -> dict[str, float]:
        sound = [i for i, one in enumerate(self.particles) if fault(one) is None]
        if not sound:
            raise ValueError(fault(self.particles[0]))
        values = {i: quality(self.particles[i], self.teacher, self.request) for i in sound} if len(sound) > 1 else {}
        self.best = max(values, key=lambda i: values[i]) if values else sound[0]
        one = self.particles[self.best]
        self.cut = cut(one.field, one.cells, self.request.faces, self.request.threshold)
        assert one.pool is not None, "it was fitted to pictures"
        self.skin = Skin.new(one.field, one.pool)
        logs = {f"quality/{i}": v for i, v in values.items()}
        return logs | {"threshold": self.cut.threshold, "agreement": self.cut.agreement}

    def _skin(self, number: int) -> dict[str, float]:
        assert self.cut is not None and self.skin is not None, "the mesh comes first"
        place = (self.plan["shape"] + number, 0)
        return dress(self.skin, Surface(self.cut.mesh), self.guide, self.score, place)

    def saved(self) -> Saved:
        tensors: dict[str, dict[str, Tensor]] = {}
        optimizers: dict = {}
        for i, one in enumerate(self.particles):
            pool = {} if one.pool is None else {f"pool.{k}": v for k, v in one.pool.tensors().items()}
            tensors[f"particle-{i}"] = {**one.field.state_dict(), "cells": one.cells, **pool}
            optimizers[f"particle-{i}"] = one.adam.state_dict()
        if self.score is not None:
            tensors["score"] = {k: w.detach() for k, w in self.score.weights().items()}
            optimizers["score"] = self.score.adam.state_dict()
        if self.cut is not None and self.skin is not None:
            mesh, kept = self.cut.mesh, {f"pool.{k}": v for k, v in self.skin.pool.tensors().items()}
            facts = torch.tensor([self.cut.threshold, self.cut.agreement], dtype=torch.float64)
            whole = {"vertices": torch.tensor(np.asarray(mesh.vertices)), "faces": torch.tensor(np.asarray(mesh.faces))}
            tensors["mesh"] = {"facts": facts, "logits": self.skin.logits.detach(), **whole, **kept}
            optimizers["skin"] = self.skin.adam.state_dict()
        return Saved(self.step, tensors, optimizers, {"restarts": self.restarts, "best": self.best})

    def restore(self, saved: Saved) -> None:
        self.step, self.restarts, self.best = saved.step, saved.counters["restarts"], saved.counters["best"]
        for i in range(len(self.particles)):
            self.particles[i] = particle(saved.tensors[f"particle-{i}"], saved.optimizers[f"particle-{i}"])
        if self.score is not None:
            self._restore_score(saved)
        if "mesh" in saved.tensors:
            kept = saved.tensors["mesh"]
            mesh = trimesh.Trimesh(kept["vertices"].numpy(), kept["faces"].numpy(), process=False)
            self.cut = Cut(mesh, *kept["facts"].tolist())
            self.skin = Skin.of(kept["logits"], _pool(kept))
            self.skin.adam.load_state_dict(copy.deepcopy(saved.optimizers["skin"]))

    def go_on(self, saved: Saved) -> None:
        """Start with a thing of another run: the one that was picked, or the best. Raises ValueError where it has
        none."""
        things, run = sum(name.startswith("particle-") for name in saved.tensors), self.request.start
        which = saved.counters["best"] if self.request.pick is None else self.request.pick
        if which >= things:
            raise ValueError(f"run {run!r} made {things} of it: pick is 0 to {things - 1}, not {which}")
        self.particles = [particle(saved.tensors[f"particle-{which}"], saved.optimizers[f"particle-{which}"])]
        if self.particles[0].pool is None:
            raise ValueError(f"run {run!r} has not begun its thing {which} yet; wait for a later checkpoint")
        if self.score is not None and "score" in saved.tensors:
            self._restore_score(saved)

    def _restore_score(self, saved: Saved) -> None:
        assert self.score is not None, "the mode has one"
        for k, w in self.score.weights().items():
            w.data.copy_(saved.tensors["score"][k])
        self.score.adam.load_state_dict(copy.deepcopy(saved.optimizers["score"]))


def _pool(tensors: dict[str, Tensor]) -> Pictures:
    return Pictures(**{k.removeprefix("pool."): v for k, v in tensors.items() if k.startswith("pool.")})


def particle(tensors: dict[str, Tensor], optimizer: dict) -> Particle:
    pool = _pool(tensors) if "pool.pixels" in tensors else None
    one = Particle.of(fields.saved(tensors), tensors["cells"], pool)
    one.adam.load_state_dict(copy.deepcopy(optimizer))
    return one
