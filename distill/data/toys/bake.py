"""The mesh of a kind of toy with baked light: the light at every corner of every triangle, from fixed lamps.

Toys never turn in the world; the camera moves around them. So the light at a point (a large warm lamp at the upper left
of the front, a cool sky, and light from an unseen floor that is dark under the toy) is computed once for each kind,
with shadows, and pictures need primary rays only. Surfaces are diffuse: their radiance does not depend on the view, as
in a simple radiance field.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import trimesh
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from scipy.sparse import coo_matrix
from scipy.spatial import ConvexHull, KDTree

from distill.data.toys.kinds import FILL, KINDS, STANDS, STRIPES
from distill.data.toys.shapes import join

CREASE = np.cos(np.radians(38))  # edges sharper than this stay sharp
LAMP, LAMP_COLOUR = np.array([-0.5, 0.84, 0.72]), np.array([1.0, 0.95, 0.86])
RIM, RIM_COLOUR = np.array([0.7, 0.5, -0.6]), np.array([0.94, 0.96, 1.0])
SKY_COLOUR, FLOOR_COLOUR = np.array([0.93, 0.96, 1.0]), np.array([1.0, 0.96, 0.92])
NUM_RAYS = 160


@dataclass(frozen=True)
class Solid:
    """One kind of toy, centred in a ball of radius 1."""

    scene: EmbreeScene
    triangles: np.ndarray  # [F, 3, 3] float32
    light: np.ndarray  # [F, 3, 3] float32: linear RGB received at each corner
    paints: tuple[str, ...]
    paint: np.ndarray  # [F] index into paints
    dots: np.ndarray  # [D, 3] centres of the dots of the dotted pattern
    dot: np.ndarray  # [F] index of the nearest dot
    stripes: np.ndarray  # [3] the direction across the stripes; its length is the number of stripes in a unit
    hull: np.ndarray  # [H, 3]
    stand: tuple[float, float, float] | None  # height, half width and half depth of a surface to stand on


def directions(n: int) -> np.ndarray:
    """Directions spread evenly over the sphere by the golden angle, [n, 3]."""
    y = 1 - (2 * np.arange(n) + 1) / n
    angle = np.arange(n) * np.pi * (3 - 5**0.5)
    ring = np.sqrt(1 - y * y)
    return np.stack([ring * np.cos(angle), y, ring * np.sin(angle)], -1)


def corner_normals(mesh: trimesh.Trimesh) -> np.ndarray:
    """The normal of every corner, [F, 3, 3]: the mean over the faces around its vertex, except across a crease."""
    num_faces = len(mesh.faces)
    corner = np.arange(num_faces * 3)
    at = coo_matrix((np.ones(len(corner)), (corner, mesh.faces.ravel())), (len(corner), len(mesh.vertices))).tocsr()
    pairs = (at @ at.T).tocoo()
    normals = mesh.face_normals
    smooth = (normals[pairs.row // 3] * normals[pairs.col // 3]).sum(-1) > CREASE
    weight = (mesh.area_faces[pairs.col // 3] * smooth)[:, None]
    total = np.zeros((len(corner), 3))
    np.add.at(total, pairs.row, normals[pairs.col // 3] * weight)
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return total.reshape(num_faces, 3, 3)


def radiance(d: np.ndarray) -> np.ndarray:
    """The light that comes from an upper direction d [3], linear RGB [3]."""
    lamp, rim = LAMP / np.linalg.norm(LAMP), RIM / np.linalg.norm(RIM)
    key = 3.1 * np.exp(7 * (d @ lamp - 1)) * LAMP_COLOUR
    edge = 0.85 * np.exp(5 * (d @ rim - 1)) * RIM_COLOUR
    return key + edge + (0.33 + 0.28 * d[1]) * SKY_COLOUR


def floor_radiance(points: np.ndarray, d: np.ndarray, floor: float) -> np.ndarray:
    """The light from the floor that reaches points [N, 3] from a downward direction d [3]: [N, 3], dark under the
    toy."""
    far = (points[:, 1] - floor + 1e-3) / -d[1]
    hit = points + d * far[:, None]
    open_ = np.clip((np.hypot(hit[:, 0], hit[:, 2]) - 0.2) / 1.2, 0, 1)
    return (0.05 + 0.3 * open_**1.5)[:, None] * FLOOR_COLOUR


def received(scene: EmbreeScene, points: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The light at points [N, 3], as [N, 3], and the cosine-weighted share of the surroundings that they see, [N]."""
    total, seen, weight = np.zeros_like(points), np.zeros(len(points)), np.zeros(len(points))
    floor = points[:, 1].min()
    start = (points + 2e-3 * normals).astype(np.float32)
    for d in directions(NUM_RAYS):
        cosine = normals @ d
        idx = np.flatnonzero(cosine > 0)
        way = np.tile(d.astype(np.float32), (len(idx), 1))
        free = idx[scene.run(start[idx], way, query="OCCLUDED") < 0]
        light = radiance(d) if d[1] > 0 else floor_radiance(points[free], d, floor)
        total[free] += cosine[free, None] * light
        seen[free] += cosine[free]
        weight[idx] += cosine[idx]
    return total * (4 / NUM_RAYS), seen / np.maximum(weight, 1e-9)


def corner_light(scene: EmbreeScene, triangles: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The light at every corner, [F, 3, 3]. Corners inside another part take the light of their open neighbours."""
    rows = np.concatenate([triangles.reshape(-1, 3), normals.reshape(-1, 3)], 1).round(4)
    unique, back = np.unique(rows, axis=0, return_inverse=True)
    light, seen = received(scene, unique[:, :3], unique[:, 3:])
    back = back.reshape(-1, 3)
    good = seen > 0.03
    for _ in range(3):
        ok = good[back]  # [F, 3]
        mean = (light[back] * ok[..., None]).sum(1) / np.maximum(ok.sum(1), 1)[:, None]
        total, count = np.zeros_like(light), np.zeros(len(light))
        usable = ok.any(1)
        np.add.at(total, back[usable].ravel(), np.repeat(mean[usable], 3, 0))
        np.add.at(count, back[usable].ravel(), 1)
        fill = ~good & (count > 0)
        light[fill] = 0.6 * total[fill] / count[fill, None]
        good = good | fill
    return light[back]


def spread_dots(mesh: trimesh.Trimesh, body: np.ndarray, spacing: float) -> np.ndarray:
    """Points on the painted faces at least `spacing` apart, [D, 3]; the same at every call."""
    rng = np.random.default_rng(5)
    area = mesh.area_faces * body
    face = rng.choice(len(area), 4000, p=area / area.sum())
    w = rng.dirichlet((1, 1, 1), 4000)
    points = (mesh.triangles[face] * w[:, :, None]).sum(1)
    tree, open_, kept = KDTree(points), np.ones(len(points), bool), []
    for i in range(len(points)):
        if open_[i]:
            kept.append(i)
            open_[tree.query_ball_point(points[i], spacing)] = False
    return points[kept]


def bent(points: np.ndarray, bend: float) -> np.ndarray:
    """Points [N, 3] in the unit ball, moved towards a ball of the same size (bend 1) or towards a cube (bend -1)."""
    far = np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)
    longest = np.abs(points).max(1, keepdims=True) / far  # 1 / sqrt(3) at a cube's corner, 1 at its faces' middles
    wanted = far.max() * (1.0 if bend > 0 else 0.7 / longest)
    return points * (1 + abs(bend) * (wanted / far - 1))


@cache
def solid(kind: str, bend: float = 0.0) -> Solid:
    """Build, fit and light one kind, as it is or bent. This takes about a tenth of a second, once."""
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}; valid: {', '.join(KINDS)}")
    parts = KINDS[kind]()
    mesh = join([m for _, m in parts])
    middle = mesh.bounds.mean(0)
    scale = FILL.get(kind, 1.0) / np.linalg.norm(mesh.vertices - middle, axis=1).max()
    mesh.vertices = (mesh.vertices - middle) * scale
    mesh.vertices = bent(mesh.vertices, bend) if bend else mesh.vertices
    paints = tuple(dict.fromkeys(p for p, _ in parts))
    paint = np.concatenate([np.full(len(m.faces), paints.index(p)) for p, m in parts])
    scene = EmbreeScene()
    triangles = mesh.triangles.astype(np.float32)
    TriangleMesh(scene, triangles)
    dots = spread_dots(mesh, paint == paints.index("body"), 0.33)
    stand = STANDS.get(kind)
    return Solid(
        scene=scene,
        triangles=triangles,
        light=corner_light(scene, mesh.triangles, corner_normals(mesh)).astype(np.float32),
        paints=paints,
        paint=paint,
        dots=dots.astype(np.float32),
        dot=np.asarray(KDTree(dots).query(mesh.triangles_center)[1]),
        stripes=np.array(STRIPES.get(kind, (0, 3.4, 0)), np.float32),
        hull=mesh.vertices[ConvexHull(mesh.vertices).vertices],
        stand=stand and ((stand[0] - middle[1]) * scale, stand[1] * scale, stand[2] * scale),
    )
