"""A round: render, get targets from the teacher, add them to the pool, fit the field."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from models.views import ELEVATION, LEVEL, RADIUS, Camera
from threed.fit import Particle, draws, fit
from threed.guidance import SCALE, Ask, target, times
from threed.modes import acting
from threed.pool import Pictures, cut_out
from threed.prompts import Background
from threed.render import matrices, picture
from threed.score import ScoreNetwork
from threed.skin import Skin
from threed.skin import fit as fit_skin
from threed.surface import Surface, coloured
from threed.teacher import Teacher

CAMERAS = 8  # in each round
OVERHEAD = 0.15  # share of cameras that look down
SIZES = (64, 96)  # pixels of renders, before and after LARGER
LARGER = 0.7
SKIN_STEPS = 24  # steps on rays in a round of colours
Place = tuple[int, ...]  # number of the round, and of the attempt at it


def cameras(n: int, rng: np.random.Generator) -> list[Camera]:
    """Cameras evenly around the thing from a random start, with heights and distances of the camera law."""
    out = []
    for azimuth in rng.uniform(-180, 180) + 360 * (np.arange(n) + rng.uniform(-0.5, 0.5, n)) / n:
        heights = ELEVATION["overhead"] if rng.random() < OVERHEAD else LEVEL
        out.append(Camera(float(azimuth), float(rng.uniform(*heights)), float(rng.uniform(*RADIUS))))
    return out


@dataclass(frozen=True)
class Guide:
    """The guidance of a run: its teacher, its mode and its seed."""

    teacher: Teacher
    mode: str
    seed: int
    rays: int  # steps on rays in each round


def rendered(one: Particle, views: Sequence[Camera], grounds: Sequence[Background], size: int) -> Tensor:
    """Renders of a field, [B, 3, size, size], each on its own background."""
    out = []
    for camera, ground in zip(views, grounds, strict=True):
        colour, opacity = picture(one.field, camera, size, one.cells)
        out.append(colour + (1 - opacity) * torch.tensor(ground.colour)[:, None, None])
    return torch.stack(out)


Render = Callable[[Sequence[Camera], Sequence[Background], int], Tensor]  # [B, 3, size, size] in [0, 1]


def answered(
    a: Guide, render: Render, score: ScoreNetwork | None, mode: str, place: Place, progress: float
) -> tuple[Pictures, dict[str, float]]:
    """The teacher's targets for renders from new cameras, and measurements. `place`: for the random numbers."""
    rng = np.random.default_rng([a.seed, *place])
    views = cameras(CAMERAS, rng)
    grounds = [a.teacher.grounds[int(i)] for i in rng.integers(len(a.teacher.grounds), size=CAMERAS)]
    turned = 0 if a.teacher.told_cameras else int(rng.integers(1, 4))
    z = a.teacher.encode(render(views, grounds, SIZES[progress >= LARGER]))
    t = times(progress, CAMERAS, draws(a.seed, *place, "t"))
    noise = torch.randn(z.shape, generator=draws(a.seed, *place, "noise"))
    plain, logs = a.teacher.plain(views, grounds), {}
    own = None if score is None else lambda x, t: score(x, t, plain)
    y = target(mode, z, t, noise, Ask(a.teacher, views, grounds, SCALE[mode], turned), own)
    if mode == "vsd":
        assert score is not None, "vsd needs the renders' score"
        logs["score"] = score.learn(z, plain, draws(a.seed, *place, "score"))
    logs["moved"] = float((y - z).square().mean().sqrt())
    colours = torch.tensor([g.colour for g in grounds])
    return cut_out(a.teacher.decode(y), colours, matrices(views), silhouette=mode != "vsd"), logs


def shape(one: Particle, a: Guide, score: ScoreNetwork | None, place: Place, progress: float) -> dict[str, float]:
    """A round of the shape. The field may then hold numbers that are not finite, which the caller checks."""
    made, logs = answered(a, partial(rendered, one), score, acting(a.mode, progress), place, progress)
    one.keep(made)
    logs["rays"] = fit(one, progress, a.rays, place[0] * a.rays, draws(a.seed, *place, "rays"))
    return logs


def dress(skin: Skin, surface: Surface, a: Guide, score: ScoreNetwork | None, place: Place) -> dict[str, float]:
    """A round of the skin, at the final times of the shape."""

    def render(views: Sequence[Camera], grounds: Sequence[Background], size: int) -> Tensor:
        pairs = zip(views, grounds, strict=True)
        return torch.stack([coloured(surface, skin.paint, view, size, ground.colour) for view, ground in pairs])

    made, logs = answered(a, render, score, acting(a.mode, 1.0), place, 1.0)
    skin.keep(made)
    logs["rays"] = fit_skin(skin, surface, SKIN_STEPS, draws(a.seed, *place, "rays"))
    return logs
