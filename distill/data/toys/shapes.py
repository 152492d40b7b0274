"""The rounded solids that toys are built from: balls, lathed profiles, rounded blocks and tubes.

Each function returns a trimesh.Trimesh with small faces (edges of at most about 0.15), as light is baked at corners.
Angles are in degrees, y is up.
"""

from collections.abc import Sequence

import numpy as np
import trimesh
from trimesh import Trimesh
from trimesh.transformations import rotation_matrix

Vec = tuple[float, float, float]
AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}


def move(mesh: Trimesh, at: Vec) -> Trimesh:
    mesh.apply_translation(at)
    return mesh


def turn(mesh: Trimesh, axis: str, degrees: float) -> Trimesh:
    """Rotate about an axis through the origin."""
    mesh.apply_transform(rotation_matrix(np.radians(degrees), AXES[axis]))
    return mesh


def stretch(mesh: Trimesh, by: Vec) -> Trimesh:
    mesh.apply_scale(by)
    return mesh


def join(meshes: Sequence[Trimesh]) -> Trimesh:
    """One mesh of several, faces in their order; nothing is merged."""
    starts = np.cumsum([0, *(len(m.vertices) for m in meshes[:-1])])
    faces = [m.faces + start for m, start in zip(meshes, starts, strict=True)]
    return Trimesh(np.concatenate([m.vertices for m in meshes]), np.concatenate(faces), process=False)


def ball(r: float, at: Vec = (0, 0, 0), by: Vec = (1, 1, 1), detail: int = 3) -> Trimesh:
    return move(stretch(trimesh.creation.icosphere(subdivisions=detail, radius=r), by), at)


def torus(ring: float, tube: float) -> Trimesh:
    """A torus around the z axis."""
    return trimesh.creation.torus(ring, tube, major_sections=48, minor_sections=20)


def soften(points: np.ndarray, times: int = 2) -> np.ndarray:
    """Cut the corners of an open line and keep its ends (Chaikin 1974): [N, D] -> [M, D]."""
    for _ in range(times):
        a, b = points[:-1], points[1:]
        cut = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], 1).reshape(-1, points.shape[1])
        points = np.concatenate([points[:1], cut, points[-1:]])
    return points


def refine(points: np.ndarray, step: float) -> np.ndarray:
    """The line with points added, so that no segment is longer than `step`."""
    rows = [points[:1]]
    for a, b in zip(points[:-1], points[1:], strict=True):
        n = max(1, int(np.ceil(np.linalg.norm(b - a) / step)))
        rows.append(a + (b - a) * (np.arange(1, n + 1) / n)[:, None])
    return np.concatenate(rows)


def grid_faces(rows: int, columns: int) -> np.ndarray:
    """Triangles of a grid [rows, columns] of vertices that closes on itself along its columns."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    a, b = i * columns + j, i * columns + (j + 1) % columns
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])


def lathe(profile: Sequence[tuple[float, float]], soft: int = 0, sides: int = 40, at: Vec = (0, 0, 0)) -> Trimesh:
    """A profile of (radius, height) turned around y. It goes from bottom to top, so that the surface faces outwards."""
    line = refine(soften(np.array(profile, float), soft), 0.12)
    angle = np.arange(sides) / sides * 2 * np.pi
    ring = np.stack([np.sin(angle), np.zeros(sides), np.cos(angle)], -1)
    vertices = line[:, None, :1] * ring + np.array([0, 1, 0]) * line[:, None, 1:]
    mesh = Trimesh(vertices.reshape(-1, 3), grid_faces(len(line), sides), process=True)
    mesh.update_faces(mesh.nondegenerate_faces())
    return move(mesh, at)


def disc(r: float, height: float, edge: float, at: Vec = (0, 0, 0)) -> Trimesh:
    """A cylinder around y with a rounded edge."""
    h = height / 2
    bend = np.linspace(0, np.pi / 2, 4)
    corner = np.stack([r - edge + edge * np.sin(bend), -h + edge - edge * np.cos(bend)], -1)
    profile = np.concatenate([[[0, -h]], corner, corner[::-1] * [1, -1], [[0, h]]])
    return lathe([(x, y) for x, y in profile], at=at)


def block(size: Vec, at: Vec = (0, 0, 0), edge: float = 0.06, top: tuple[float, float] = (1, 1)) -> Trimesh:
    """A box with rounded edges; its top is scaled by `top` along x and z."""
    half = np.array(size) / 2
    edge = min(edge, *half * 0.98)
    mesh = trimesh.creation.box((2, 2, 2))
    mesh.faces, mesh.vertices = _cut_box(half, edge)
    inner = np.clip(mesh.vertices, -(half - edge), half - edge)
    out = mesh.vertices - inner
    length = np.linalg.norm(out, axis=1, keepdims=True)
    points = inner + edge * out / np.maximum(length, 1e-9)
    rise = (points[:, 1] / half[1] + 1) / 2
    points[:, 0] *= 1 + (top[0] - 1) * rise
    points[:, 2] *= 1 + (top[1] - 1) * rise
    return move(Trimesh(points, mesh.faces, process=False), at)


def _marks(half: float, edge: float) -> np.ndarray:
    """The places where a box is cut along one axis: three in each rounding, evenly between."""
    bend = half - edge + edge * np.tan(np.linspace(0, np.pi / 4, 4))
    flat = np.linspace(-(half - edge), half - edge, max(2, int(np.ceil(2 * (half - edge) / 0.14)) + 1))
    return np.concatenate([-bend[:0:-1], flat, bend[1:]])


def _cut_box(half: np.ndarray, edge: float) -> tuple[np.ndarray, np.ndarray]:
    """Faces and vertices of a box whose sides are grids."""
    sides = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        a, b = np.meshgrid(_marks(half[u], edge), _marks(half[v], edge), indexing="ij")
        for sign in (-1, 1):
            points = np.empty((*a.shape, 3))
            points[..., u], points[..., v], points[..., axis] = a, b, sign * half[axis]
            i, j = np.meshgrid(np.arange(a.shape[0] - 1), np.arange(a.shape[1] - 1), indexing="ij")
            p = i * a.shape[1] + j
            q, r, s = p + a.shape[1], p + a.shape[1] + 1, p + 1
            faces = np.concatenate([np.stack([p, q, r], -1).reshape(-1, 3), np.stack([p, r, s], -1).reshape(-1, 3)])
            sides.append(Trimesh(points.reshape(-1, 3), faces if sign > 0 else faces[:, ::-1], process=False))
    whole = join(sides)
    whole.merge_vertices()
    return whole.faces.copy(), whole.vertices.copy()


def tube(points: Sequence[Vec], r: float | Sequence[float], soft: int = 2, sides: int = 16) -> Trimesh:
    """A round tube along a softened line, with rounded ends. The radius may differ from point to point."""
    radii = np.broadcast_to(np.asarray(r, float), len(points))
    line = refine(soften(np.column_stack([np.array(points, float), radii]), soft), 0.12)
    centre, radius = line[:, :3], line[:, 3]
    along = np.gradient(centre, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.cross(along[0], (0.3, 0.5, 0.8))
    rings = []
    for c, t, s in zip(centre, along, radius, strict=True):
        side = side - t * (side @ t)
        side /= np.linalg.norm(side)
        angle = np.arange(sides)[:, None] / sides * 2 * np.pi
        rings.append(c + s * (np.cos(angle) * side + np.sin(angle) * np.cross(t, side)))
    body = Trimesh(np.concatenate(rings), grid_faces(len(rings), sides), process=False)
    ends = [ball(radius[k], tuple(centre[k]), detail=2) for k in (0, -1)]
    return join([body, *ends])
