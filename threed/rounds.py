"""A round: render, ask the teacher, keep its answers, fit the field to them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.views import ELEVATION, LEVEL, RADIUS, Camera
from threed.fit import Particle, draws, fit
from threed.guidance import SCALE, Ask, target, times
from threed.modes import acting
from threed.pool import cut_out
from threed.prompts import Background
from threed.render import matrices, picture
from threed.score import ScoreNetwork
from threed.teacher import Teacher

CAMERAS = 8  # a round
OVERHEAD = 0.15  # share of cameras that look down
SIZES = (64, 96)  # pixels of renders, before and after LARGER
LARGER = 0.7


def cameras(n: int, rng: np.random.Generator) -> list[Camera]:
    """Evenly round the thing from a random start, at heights and distances of the camera law."""
    out = []
    for azimuth in rng.uniform(-180, 180) + 360 * (np.arange(n) + rng.uniform(-0.5, 0.5, n)) / n:
        heights = ELEVATION["overhead"] if rng.random() < OVERHEAD else LEVEL
        out.append(Camera(float(azimuth), float(rng.uniform(*heights)), float(rng.uniform(*RADIUS))))
    return out


@dataclass(frozen=True)
class Asked:
    """Of whom, how, and by which random numbers."""

    teacher: Teacher
    mode: str
    seed: int
    rays: int  # steps on rays a round


def rendered(one: Particle, views: Sequence[Camera], grounds: Sequence[Background], size: int) -> Tensor:
    """[B, 3, size, size], each on its own background."""
    out = []
    for camera, ground in zip(views, grounds, strict=True):
        colour, opacity = picture(one.field, camera, size, one.cells)
        out.append(colour + (1 - opacity) * torch.tensor(ground.colour)[:, None, None])
    return torch.stack(out)


def play(
    one: Particle, a: Asked, score: ScoreNetwork | None, number: int, progress: float, attempt: int = 0
) -> dict[str, float]:
    """Round `number` of a particle. `attempt`: how often it gave numbers that were not finite before."""
    place = ("round", number, attempt)
    rng = np.random.default_rng([a.seed, number, attempt])
    views = cameras(CAMERAS, rng)
    grounds = [a.teacher.grounds[int(i)] for i in rng.integers(len(a.teacher.grounds), size=CAMERAS)]
    turned = 0 if a.teacher.told_cameras else int(rng.integers(1, 4))
    mode = acting(a.mode, progress)
    z = a.teacher.encode(rendered(one, views, grounds, SIZES[progress >= LARGER]))
    t = times(progress, CAMERAS, draws(a.seed, *place, "t"))
    noise = torch.randn(z.shape, generator=draws(a.seed, *place, "noise"))
    logs: dict[str, float] = {}
    plain = a.teacher.plain(views, grounds)
    own = None
    if mode == "vsd":
        assert score is not None, "vsd learns the renders' score"
        own = lambda x, t: score(x, t, plain)  # noqa: E731
    y = target(mode, z, t, noise, Ask(a.teacher, views, grounds, SCALE[mode], turned), own)
    if mode == "vsd" and score is not None:
        logs["score"] = score.learn(z, plain, draws(a.seed, *place, "score"))
    colours = torch.tensor([g.colour for g in grounds])
    one.keep(cut_out(a.teacher.decode(y), colours, matrices(views), silhouette=mode != "vsd"))
    logs["moved"] = float((y - z).square().mean().sqrt())
    logs["rays"] = fit(one, progress, a.rays, number * a.rays, draws(a.seed, *place, "rays"))
    return logs
