"""A thing of which the teacher knows only the front: one picture of it is inflated.

    laplace(h^2) = -1 inside the silhouette, h = 0 on its edge        (Poisson: round like a balloon, thin where thin)

The front has the picture, the back has its colours, blurred. The result is a field like any other.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL.Image import Resampling
from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter, label
from torch import Tensor

from core import inputs
from models.guidance import Turn
from models.picture import open_png
from models.samplers import sample
from models.stepping import DdimSteps
from models.views import RADIUS, Camera
from threed.field import BOUND, Grid, nodes, occupied
from threed.fit import Particle, draws
from threed.pool import NEAR, Pictures, cut_out
from threed.render import matrices
from threed.teacher import Teacher

STEPS, SCALE = 12, 3.0  # DDIM steps and guidance of the picture
SWEEPS, SIDE = 1500, 64  # Jacobi iterations, and the side of their grid
THICK, EDGE, FADE = 0.5, 0.1, 0.05  # greatest height; softness of the surface; width of the change from front to back
GRID = 96
PIXELS, PLAIN = 128, 0.8  # side of a given picture; share of its edge that must have one colour
FRONT = Camera(0.0, 0.0, sum(RADIUS) / 2)
REACH = float(FRONT.radius * np.tan(np.radians(FRONT.fov / 2)))  # half of the frame's side at the origin


def painted(teacher: Teacher, seed: int) -> Pictures:
    """One picture of the prompt by the teacher, cut out."""
    ground = teacher.grounds[seed % len(teacher.grounds)]
    cond, null = (replace(c, camera=None) for c in (teacher.plain([FRONT], [ground]), teacher.null(1)))
    noise = torch.randn((1, *teacher.parts.latent), generator=draws(seed, "picture"))
    with torch.no_grad():
        turns = [Turn(teacher.parts.denoiser, SCALE)] * STEPS
        pixels = teacher.decode(sample(DdimSteps(teacher.schedule, STEPS), noise, turns, cond, null))
    return cut_out(pixels, torch.tensor([ground.colour]), matrices([FRONT]), silhouette=True)


def given(digest: str | None) -> Pictures | None:
    """A stored picture, cut out. Raises ValueError where its edges are not of one colour."""
    if digest is None:
        return None
    path = inputs.checked(digest, "png", "the picture that this thing is made of")
    pixels = open_png(path.read_bytes()).convert("RGB").resize((PIXELS, PIXELS), Resampling.LANCZOS)
    x = torch.from_numpy(np.asarray(pixels).copy()).permute(2, 0, 1)[None] / 255
    edge = torch.cat([x[0, :, 0], x[0, :, -1], x[0, :, :, 0], x[0, :, :, -1]], 1)  # [3, 4 S]
    ground = edge.median(1).values
    if float(((edge - ground[:, None]).norm(dim=0) < NEAR).float().mean()) < PLAIN:
        raise ValueError("the picture has no plain background: one colour along its edges is what it is cut out of")
    return cut_out(x, ground[None], matrices([FRONT]), silhouette=True)


def silhouette(cover: np.ndarray) -> np.ndarray:
    """The largest connected part of the cover, without holes, bool [S, S]. Raises ValueError where there is none."""
    labelled: Any = label(binary_fill_holes(cover > 0.5))
    parts, count = labelled
    if not count:
        raise ValueError("the teacher's picture shows nothing that can be told from its background; try another seed")
    return parts == 1 + np.bincount(parts.ravel())[1:].argmax()


def heights(inside: np.ndarray) -> np.ndarray:
    """The height of the surface above the picture's plane, [S, S]: at most THICK, below 0 outside."""
    small = F.interpolate(torch.from_numpy(inside).float()[None, None], (SIDE,) * 2, mode="area")[0, 0].numpy() > 0.5
    u = np.zeros((SIDE, SIDE))
    for _ in range(SWEEPS):
        around = np.pad(u, 1)
        u = np.where(small, (around[2:, 1:-1] + around[:-2, 1:-1] + around[1:-1, 2:] + around[1:-1, :-2] + 1) / 4, 0)
    h = np.sqrt(u)
    outside = np.asarray(distance_transform_edt(~small))
    return np.where(small, h / max(h.max(), 1e-9) * THICK, -EDGE * outside)


def colours(pixels: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The colours of front and back, [S, S, 3] each: the picture, extended beyond its edge, and its blurred colours."""
    nearest = np.asarray(distance_transform_edt(~inside, return_distances=False, return_indices=True))
    front = pixels[tuple(nearest)]
    weight = gaussian_filter(inside.astype(float), 10)[..., None]
    back = gaussian_filter(np.where(inside[..., None], pixels, 0.0), (10, 10, 0)) / np.maximum(weight, 1e-3)
    return front, np.where(weight > 1e-2, back, front)


def inflated(picture: Pictures) -> Grid:
    """The field of an inflated picture."""
    pixels = picture.pixels[0].permute(1, 2, 0).numpy().astype(float)
    inside = silhouette(picture.cover[0].numpy())
    front, back = colours(pixels, inside)
    places = nodes(GRID)  # [z, y, x, 3]
    flat = (places[0, ..., :2] / REACH * torch.tensor([1.0, -1.0]))[None].float()  # [1, y, x, 2], down the picture

    def spread(image: np.ndarray) -> Tensor:
        layers = torch.from_numpy(image).float().reshape(*image.shape[:2], -1).permute(2, 0, 1)[None]
        return F.grid_sample(layers, flat, mode="bilinear", padding_mode="border", align_corners=False)[0]

    z = places[..., 2]
    height = spread(heights(inside))[0]
    share = torch.sigmoid(z / FADE)
    colour = share * spread(front)[:, None] + (1 - share) * spread(back)[:, None]  # [3, z, y, x]
    field = Grid(GRID)
    density = ((height - z.abs()) / EDGE * 4).clamp(-4, 4)
    field.values.data[0] = torch.cat([density[None], torch.logit(colour.clamp(0.01, 0.99))])
    field.values.data[0, 0][places.norm(dim=-1) > BOUND] = -4
    return field


def cushion(picture: Pictures) -> Particle:
    """The inflated picture as a particle whose mesh can be cut out."""
    field = inflated(picture)
    return Particle.of(field, occupied(field, 1), picture)
