"""Rendering of a scene: 2 x 2 rays for each pixel, and the light that `bake` computed.

`Seen` keeps the hits of the rays beside the colour, which give outlines, creases and depth exactly.
"""

from dataclasses import dataclass, replace

import numpy as np

from distill.data import SIDE
from distill.data.toys.bake import Solid, solid
from distill.data.toys.scene import SCALE, Scene, Thing
from models.palette import BACKGROUNDS, COLOURS, DETAILS, marking, shade
from models.views import Camera, camera_matrix, position, project, ray_directions

SAMPLES = 2
FRAME = 0.92  # share of the picture that a group of things spans
DOT = 0.115  # radius of a dot
EXPOSURE = 1.12


@dataclass(frozen=True)
class Placed:
    """A thing in the world: its solid, scaled and then moved."""

    thing: Thing
    solid: Solid
    scale: float
    at: np.ndarray  # [3]

    @property
    def hull(self) -> np.ndarray:
        return self.solid.hull * self.scale + self.at

    def moved(self, by: np.ndarray) -> "Placed":
        return replace(self, at=self.at + by)


def _linear(colour: tuple[int, int, int]) -> np.ndarray:
    c = np.array(colour) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _screen_curve(n: int = 4096, top: float = 2.0) -> np.ndarray:
    """A table [n] from linear light in [0, top] to sRGB in [0, 255], with a shoulder that keeps highlights soft."""
    x = np.linspace(0, top, n)
    x = np.where(x < 0.7, x, 0.7 + 0.3 * np.tanh((x - 0.7) / 0.3 * 0.9) / np.tanh(3.9))
    y = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)
    return (255 * np.minimum(y, 1)).astype(np.float32)


CURVE = _screen_curve()


def _axes(camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The directions right, up on the screen, and level towards the camera, each [3]."""
    matrix = camera_matrix(camera)
    right, up = matrix[:3, 0], matrix[:3, 1]
    return right, up, np.cross(right, (0.0, 1.0, 0.0))


def _extent(placed: Placed, axis: np.ndarray) -> tuple[float, float]:
    along = placed.hull @ axis
    return float(along.min()), float(along.max())


def _beside(first: Placed, second: Placed, axis: np.ndarray, gap: float) -> Placed:
    """The second thing, moved along the axis until it begins a gap after the end of the first."""
    return second.moved(axis * (_extent(first, axis)[1] + gap - _extent(second, axis)[0]))


def _on_floor(placed: Placed) -> Placed:
    return placed.moved(np.array([0, -placed.hull[:, 1].min(), 0]))


def _relation(scene: Scene, first: Placed, second: Placed) -> list[Placed]:
    right, _, near = _axes(scene.camera)
    a, b = scene.jitter[:2]
    if scene.relation == "on":
        height, half_x, half_z = second.solid.stand or (0.0, 1.0, 1.0)
        wide = np.abs(first.solid.hull[:, [0, 2]]).max(0)
        first = replace(first, scale=float(np.clip(0.95 * min(half_x / wide[0], half_z / wide[1]), 0.38, 0.85)))
        first = first.moved(np.array([0, height - first.hull[:, 1].min(), 0]))
        return [first, second]
    first, second = _on_floor(first), _on_floor(second)
    if scene.relation == "in front of":
        first = _on_floor(replace(first, scale=0.6, at=np.zeros(3)))
        first = _beside(second, first, near, 0.1)
        aside = 0.3 * (np.ptp(first.hull @ right) + np.ptp(second.hull @ right)) * (0.8 + 0.2 * abs(b))
        return [first.moved(right * aside * (1 if a > 0 else -1)), second]
    axis = right if scene.relation == "right of" else -right
    first = _beside(second, first, axis, 0.12 + 0.06 * a)
    return [first.moved(near * 0.15 * b), second]


def _rows(count: int, layout: str, aspect: float) -> list[int]:
    """The number of things in each row, from the top. A layout that would make things too small is replaced."""
    if count == 2:
        return [1, 1] if aspect > 1.4 else [2]
    if count == 3 and aspect > 1.7:
        return [1, 1, 1]
    if layout == "row" and count * aspect < 2.6:
        return [count]
    return [1, 2] if count == 3 else [2, 2]


def _several(scene: Scene, one: Placed) -> list[Placed]:
    right, up, near = _axes(scene.camera)
    wide, tall = np.ptp(one.hull @ right) + 0.14, np.ptp(one.hull @ up) + 0.14
    rows = _rows(scene.count, scene.layout, wide / tall)
    things = []
    for i, n in enumerate(rows):
        for k in range(n):
            nudge = 0.05 * scene.jitter[(i * 2 + k) % 8] * up + 0.1 * scene.jitter[(i * 2 + k + 3) % 8] * near
            things.append(one.moved(right * wide * (k - (n - 1) / 2) - up * tall * i + nudge))
    return things


def _fit(camera: Camera, things: list[Placed], frame: float) -> list[Placed]:
    """The group, scaled and moved so that it spans the frame and is centred."""
    right, up, _ = _axes(camera)
    half = camera.radius * np.tan(np.radians(camera.fov) / 2)
    for _ in range(4):
        points = project(camera, np.concatenate([t.hull for t in things]))
        low, high = points.min(0), points.max(0)
        x, y = (low + high) / 2 * half
        scale = float(2 * frame / (high - low).max())
        things = [replace(t, scale=t.scale * scale, at=(t.at - right * x - up * y) * scale) for t in things]
    return things


def place(scene: Scene) -> list[Placed]:
    """The things of a scene, each at its place."""
    things = [Placed(t, solid(t.kind), 1.0, np.zeros(3)) for t in scene.things]
    if scene.count == 1:
        right, up, _ = _axes(scene.camera)
        a, b, c = scene.jitter[:3]
        scale = SCALE[scene.size or "big"] * (1 - 0.03 * (1 + c))
        room = 0.02 if scene.size == "big" else 0.2
        return [replace(things[0], scale=scale, at=room * (a * right + b * up))]
    group = _relation(scene, *things) if scene.relation else _several(scene, things[0])
    return _fit(scene.camera, group, FRAME - 0.03 * (1 + scene.jitter[7]))


def _albedo(placed: Placed, face: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The linear colour at hits, [N, 3], for faces [N] and points [N, 3] in the solid's own space."""
    body, form, thing = COLOURS[placed.thing.colour], placed.solid, placed.thing
    own = {"body": body, "plain": body, "shade": shade(body)}
    table = np.stack([_linear(own.get(p) or DETAILS[p]) for p in form.paints])
    paint = form.paint[face]
    colour = table[paint]
    if thing.pattern == "plain":
        return colour
    if thing.pattern == "dotted":
        away = points - form.dots[form.dot[face]]
        marked = (away * away).sum(1) < DOT**2
    else:
        marked = (points @ form.stripes + 0.18) % 1 < 0.36
    marked &= paint == form.paints.index("body")
    colour[marked] = _linear(marking(thing.colour))
    return colour


def _shadow(points: np.ndarray, normals: np.ndarray, others: list[Placed]) -> np.ndarray:
    """The share of light that neighbours leave, [N, 1]: each hides as much as a ball of its size."""
    left = np.ones(len(points), np.float32)
    for other in others:
        way = other.at - points
        far = (way * way).sum(1)
        facing = (normals * way).sum(1) / np.sqrt(far)
        left *= 1 - 0.45 * np.clip(facing, 0, 1) * np.minimum((0.7 * other.scale) ** 2 / far, 1)
    return left[:, None].astype(np.float32)


def _window(camera: Camera, placed: Placed, size: int) -> tuple[slice, slice]:
    """The rows and columns of samples that may hit a thing."""
    points = project(camera, placed.hull)
    low, high = (points.min(0) + 1) / 2 * size, (points.max(0) + 1) / 2 * size
    x0, x1 = max(int(low[0]) - 1, 0), min(int(high[0]) + 2, size)
    y0, y1 = max(int(size - high[1]) - 1, 0), min(int(size - low[1]) + 2, size)
    return slice(y0, y1), slice(x0, x1)


@dataclass(frozen=True)
class Seen:
    """What the ray of each point met; S is `SAMPLES` times the picture's side."""

    image: np.ndarray  # [S, S, 3] float32, 0 to 255
    depth: np.ndarray  # [S, S] float32, inf where there is nothing
    thing: np.ndarray  # [S, S] int16: which thing, -1 where there is none
    paint: np.ndarray  # [S, S] int16: which of its paints
    normal: np.ndarray  # [S, S, 3] float32, of the triangle, of length 1


def _draw(camera: Camera, things: list[Placed], k: int, seen: Seen, way: np.ndarray) -> None:
    """Draw thing k where it is nearer than what is there."""
    placed = things[k]
    rows, columns = _window(camera, placed, len(seen.image))
    d = np.ascontiguousarray(way[rows, columns].reshape(-1, 3))
    if not len(d):
        return
    start = ((position(camera) - placed.at) / placed.scale).astype(np.float32)
    hit = placed.solid.scene.run(np.tile(start, (len(d), 1)), d, query="INTERSECT", output=True)
    far = hit["tfar"] * placed.scale
    view = seen.depth[rows, columns]
    idx = np.flatnonzero((hit["primID"] >= 0) & (far < view.ravel()))
    face, u, v = hit["primID"][idx], hit["u"][idx, None], hit["v"][idx, None]
    light = placed.solid.light[face]
    light = light[:, 0] * (1 - u - v) + light[:, 1] * u + light[:, 2] * v
    points = start + d[idx] * hit["tfar"][idx, None]
    normals = hit["Ng"][idx] / np.linalg.norm(hit["Ng"][idx], axis=1, keepdims=True)
    others = things[:k] + things[k + 1 :]
    if others:
        light = light * _shadow(points * placed.scale + placed.at, -normals, others)
    shown = _albedo(placed, face, points) * light * EXPOSURE
    colour = CURVE[np.minimum(shown * (len(CURVE) / 2.0), len(CURVE) - 1).astype(np.int32)]
    y, x = np.divmod(idx, columns.stop - columns.start)
    at = y + rows.start, x + columns.start
    seen.image[at], seen.depth[at], seen.thing[at] = colour, far[idx], k
    seen.paint[at], seen.normal[at] = placed.solid.paint[face], normals


def look(scene: Scene, size: int = SIDE, things: list[Placed] | None = None) -> Seen:
    """What the rays of a picture of this size meet. `things`: those of the scene, where they are placed otherwise."""
    fine = size * SAMPLES
    things, grid = things or place(scene), (fine, fine)
    image = np.empty((*grid, 3), np.float32)
    image[:] = BACKGROUNDS[scene.background]
    nothing = np.full(grid, -1, np.int16)
    depth, normal = np.full(grid, np.inf, np.float32), np.zeros((*grid, 3), np.float32)
    seen = Seen(image, depth, nothing, nothing.copy(), normal)
    way = ray_directions(scene.camera, fine).astype(np.float32)
    for k in range(len(things)):
        _draw(scene.camera, things, k, seen, way)
    return seen


def picture(seen: Seen) -> np.ndarray:
    """uint8 [size, size, 3]."""
    size = len(seen.image) // SAMPLES
    small = seen.image.reshape(size, SAMPLES, size, SAMPLES, 3).mean((1, 3))
    return (small + 0.5).astype(np.uint8)


def render(scene: Scene, size: int = SIDE) -> np.ndarray:
    """The picture of a scene, uint8 [size, size, 3]."""
    return picture(look(scene, size))
