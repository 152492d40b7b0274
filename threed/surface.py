"""Ray casting on a mesh: the first hits of rays, and pictures of the mesh."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from torch import Tensor

from models.views import Camera, position, ray_directions

SAMPLES = 2  # rays along a pixel's side


@dataclass(frozen=True)
class Hits:
    """The rays that hit something; each row is one of them."""

    ray: np.ndarray  # [M], index of the ray
    face: np.ndarray  # [M]
    corner: np.ndarray  # [M, 3], barycentric coordinates in the face

    def of(self, values: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Values of vertices [V, C], interpolated at the hits: [M, C]."""
        return (values[faces[self.face]] * self.corner[..., None]).sum(1)


class Surface:
    def __init__(self, mesh: trimesh.Trimesh):
        self.mesh, self.scene = mesh, EmbreeScene()
        self.triangles = np.ascontiguousarray(mesh.triangles, np.float32)
        TriangleMesh(self.scene, self.triangles)

    def hit(self, origin: np.ndarray, way: np.ndarray) -> Hits:
        origin, way = (np.ascontiguousarray(x, np.float32) for x in (origin, way))
        crossings = self.scene.run(origin, way, query="INTERSECT", output=True)
        ray = np.flatnonzero(crossings["primID"] >= 0)
        u, v = crossings["u"][ray], crossings["v"][ray]
        return Hits(ray, crossings["primID"][ray], np.stack([1 - u - v, u, v], -1))

    def points(self, hits: Hits) -> np.ndarray:
        return (self.triangles[hits.face] * hits.corner[..., None]).sum(1)

    def seen(self, camera: Camera, size: int) -> Hits:
        """The hits of a picture with size x size rays."""
        way = ray_directions(camera, size).reshape(-1, 3)
        return self.hit(np.tile(position(camera), (len(way), 1)), way)

    def silhouette(self, camera: Camera, size: int) -> np.ndarray:
        out = np.zeros(size * size, bool)
        out[self.seen(camera, size).ray] = True
        return out.reshape(size, size)


def averaged(colours: np.ndarray, size: int) -> Tensor:
    """The picture [3, size, size] of samples [size * S, size * S, 3]."""
    x = torch.from_numpy(colours).reshape(size, SAMPLES, size, SAMPLES, 3)
    return x.mean((1, 3)).permute(2, 0, 1)


Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]  # points and normals [N, 3] -> colours [N, 3] in [0, 1]


def coloured(
    surface: Surface, paint: Paint, camera: Camera, size: int, background: tuple[float, float, float]
) -> Tensor:
    """A picture [3, size, size] in [0, 1] of a surface whose colours are a function of space."""
    fine = size * SAMPLES
    hits, out = surface.seen(camera, fine), np.empty((fine * fine, 3), np.float32)
    out[:] = background
    normals = hits.of(np.asarray(surface.mesh.vertex_normals), np.asarray(surface.mesh.faces))
    out[hits.ray] = paint(surface.points(hits), normals)
    return averaged(out.reshape(fine, fine, 3), size)


@dataclass(frozen=True)
class Skinned:
    """A closed mesh with a texture, and the texture coordinates of every corner of its faces."""

    mesh: trimesh.Trimesh
    uv: np.ndarray  # [F, 3, 2], (0, 0) at the lower left
    image: np.ndarray  # uint8 [T, T, 3]

    def picture(self, surface: Surface, camera: Camera, size: int, background: tuple[float, float, float]) -> Tensor:
        """A picture [3, size, size] in [0, 1], unlit, as the light is in the colours."""
        fine = size * SAMPLES
        hits = surface.seen(camera, fine)
        out = np.empty((fine * fine, 3), np.float32)
        out[:] = background
        place = (self.uv[hits.face] * hits.corner[..., None]).sum(1)
        out[hits.ray] = looked_up(self.image, place) / 255
        return averaged(out.reshape(fine, fine, 3), size)

    def normals(self, surface: Surface, camera: Camera, size: int) -> Tensor:
        """A picture [3, size, size] of the normals as colours, grey where there is no surface."""
        fine = size * SAMPLES
        hits = surface.seen(camera, fine)
        out = np.full((fine * fine, 3), 0.5, np.float32)
        n = hits.of(np.asarray(self.mesh.vertex_normals), np.asarray(self.mesh.faces))
        out[hits.ray] = n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-9) / 2 + 0.5
        return averaged(out.reshape(fine, fine, 3), size)


def looked_up(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """The texture [T, T, 3] at coordinates [N, 2], bilinear, as in a viewer."""
    side = len(image)
    x, y = uv[:, 0] * side - 0.5, (1 - uv[:, 1]) * side - 0.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    out = np.zeros((len(uv), 3))
    for dy in (0, 1):
        for dx in (0, 1):
            share = np.abs(1 - dx - (x - left)) * np.abs(1 - dy - (y - top))
            pixel = image[np.clip(top + dy, 0, side - 1), np.clip(left + dx, 0, side - 1)]
            out += share[:, None] * pixel
    return out
