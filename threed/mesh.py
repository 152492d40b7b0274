"""From a density to one closed surface: threshold, marching cubes, the largest part, simplification."""

from dataclasses import dataclass

import manifold3d
import numpy as np
import torch
import torch.nn.functional as F
import trimesh
from skimage.measure import marching_cubes
from torch import Tensor
from trimesh.graph import connected_component_labels

from models.views import Camera
from threed.field import BOUND, Field, blurred, sampled
from threed.render import march, matrices, through

SIDE = 72  # of the grid for marching cubes; finer ones keep noise and give too many faces
THRESHOLDS = np.geomspace(0.6, 30, 24)
VIEWS = 8
TOLERANCE = 0.002  # of simplification, in a ball of radius 1; it grows until the faces are few enough


class NoSurface(ValueError):
    """A density has no surface; the message says why."""


@dataclass(frozen=True)
class Cut:
    mesh: trimesh.Trimesh
    threshold: float
    agreement: float  # IoU of its silhouettes with the field's


def ring(views: int = VIEWS) -> list[Camera]:
    """Cameras all around, high and low in turn."""
    return [Camera(360 * (k + 0.5) / views - 180, (12.0, 30.0)[k % 2]) for k in range(views)]


@torch.no_grad()
def agreement(field: Field, cells: Tensor, size: int = 64) -> np.ndarray:
    """For each of THRESHOLDS, the IoU of the solid's silhouettes and the field's opacity, over views all around.

    Published thresholds don't fit, as the densities of short runs are lower by an order of magnitude.
    """
    both, either = np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS))
    row, column = (x.flatten() for x in torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"))
    for camera in ring():
        rays = through(matrices([camera]).expand(size**2, 4, 4), row, column, size)
        hidden = (march(field, rays, cells).opacity > 0.5).numpy()
        peak = highest(field, rays.origin, rays.way)
        for k, threshold in enumerate(THRESHOLDS):
            solid = peak > threshold
            both[k] += (solid & hidden).sum()
            either[k] += (solid | hidden).sum()
    return both / np.maximum(either, 1)


def highest(field: Field, origin: Tensor, way: Tensor, samples: int = 48) -> np.ndarray:
    """The greatest density along each ray, [N]."""
    far = torch.linspace(-BOUND, BOUND, samples) - (origin * way).sum(-1, keepdim=True)
    points = origin[:, None] + far[..., None] * way[:, None]
    inside = points.norm(dim=-1) < BOUND
    density = field.density(points.reshape(-1, 3)).reshape(inside.shape)
    return density.masked_fill(~inside, 0).amax(1).numpy()


def chosen(field: Field, cells: Tensor) -> tuple[float, float]:
    """The threshold whose silhouettes agree best, and their IoU."""
    iou = agreement(field, cells)
    return float(THRESHOLDS[iou.argmax()]), float(iou.max())


def surface(density: Tensor, threshold: float) -> trimesh.Trimesh:
    """The surface at which the density [S, S, S] (z, y, x) crosses the threshold. Raises NoSurface."""
    values = F.pad(density, (1,) * 6).numpy()  # so that the surface is closed at the border
    if values.max() <= threshold:
        raise NoSurface(f"no surface at threshold {threshold:.3g}: the greatest density is {values.max():.3g}")
    points, faces, _, _ = marching_cubes(values, threshold, gradient_direction="ascent")
    step = 2 * BOUND / (len(density) - 1)
    return trimesh.Trimesh(((points - 1) * step - BOUND)[:, ::-1], faces[:, ::-1], process=False)


def shell(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """The closed shell of the greatest volume; hollows inside it are filled."""
    labels = connected_component_labels(mesh.face_adjacency, node_count=len(mesh.faces))
    a, b, c = np.moveaxis(np.asarray(mesh.triangles), 1, 0)
    volumes = np.bincount(labels, (a * np.cross(b, c)).sum(1))  # times six; negative for a hollow's shell
    out = trimesh.Trimesh(mesh.vertices, mesh.faces[labels == volumes.argmax()], process=False)
    out.remove_unreferenced_vertices()
    return out


def largest(mesh: trimesh.Trimesh) -> manifold3d.Manifold:
    """The largest shell of a mesh as a solid. Raises NoSurface."""
    outer = shell(mesh)
    raw = manifold3d.Mesh(np.asarray(outer.vertices, np.float32), np.asarray(outer.faces, np.uint32))
    solid = manifold3d.Manifold(raw)
    if solid.status() != manifold3d.Error.NoError or solid.is_empty():
        raise NoSurface(f"the surface is no solid: {solid.status().name}")
    return solid


def simplified(solid: manifold3d.Manifold, faces: int) -> trimesh.Trimesh:
    """The solid as a mesh with at most so many faces. It stays closed, unlike half of our surfaces after quadric
    decimation.

    A tunnel that is simplified away may leave a hollow, so the largest shell is taken once more.
    """
    tolerance = TOLERANCE
    small = solid.simplify(tolerance)
    while small.num_tri() > faces and tolerance < 0.2:
        tolerance *= 1.5
        small = solid.simplify(tolerance)
    out = small.to_mesh()
    return shell(trimesh.Trimesh(np.asarray(out.vert_properties)[:, :3], np.asarray(out.tri_verts), process=False))


def smoothed(density: Tensor) -> Tensor:
    """The density after one step towards the mean of its neighbours, in the logarithm. It closes tunnels one cell
    wide."""
    return blurred(density.clamp_min(1e-3).log()[None, None])[0, 0].exp()


def cut(field: Field, cells: Tensor, faces: int, threshold: float | None = None) -> Cut:
    """The surface of a field, at the threshold whose silhouettes agree best unless one is given. Raises NoSurface."""
    best, iou = chosen(field, cells)
    level = best if threshold is None else threshold
    mesh = simplified(largest(surface(smoothed(sampled(field, SIDE)), level)), faces)
    return Cut(mesh, level, iou)
