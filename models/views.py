"""The camera law and the words for views: the same for toys, for prompts and for text to 3D. Pure.

The world is right-handed with y up. Things stand around the origin, fit in a ball of radius 1 and face +z. At azimuth 0
the camera sees a thing's front, at 90 the thing's own right side (which is -x), at 180 its back; at elevation 90 it
looks straight down. Both are in degrees.

The law for pictures of one thing (`sample_camera`): first a view word (front 0.50, side 0.25, back 0.15, overhead
0.10), then an azimuth uniform within that word's sector, an elevation uniform in [5, 40] (overhead: [61, 75]), a
radius uniform in [4.1, 4.4] and a field of view of 30 degrees. The ball of radius 1 then spans 87 to
94 % of the picture.
"""

from dataclasses import dataclass
from math import cos, radians, sin, tan

import numpy as np

VIEWS = ("front", "side", "back", "overhead")
PHRASES = {
    "front": ("front view", "seen from the front", "from the front"),
    "side": ("side view", "seen from the side", "from the side"),
    "back": ("back view", "seen from behind", "from behind"),
    "overhead": ("overhead view", "seen from above", "from above"),
}
FOV = 30.0
RADIUS = (4.1, 4.4)
ELEVATION = {"overhead": (61.0, 75.0)}  # every other view: LEVEL
LEVEL = (5.0, 40.0)
CHANCES = {"front": 0.5, "side": 0.25, "back": 0.15, "overhead": 0.1}


@dataclass(frozen=True)
class Camera:
    azimuth: float
    elevation: float
    radius: float = 4.25
    fov: float = FOV


def view_word(azimuth: float, elevation: float) -> str:
    """The view word of a direction, as in DreamFusion's view prompts (Poole et al. 2022, Sec. 3): overhead above 60
    degrees of elevation, front and back within 45 degrees of their axes, else side."""
    if elevation > 60:
        return "overhead"
    turn = abs((azimuth + 180) % 360 - 180)  # 0 front .. 180 back
    return "front" if turn <= 45 else "back" if turn >= 135 else "side"


def position(camera: Camera) -> np.ndarray:
    """The camera's position, [3]."""
    a, e = radians(camera.azimuth), radians(camera.elevation)
    return camera.radius * np.array([-cos(e) * sin(a), sin(e), cos(e) * cos(a)])


def camera_matrix(camera: Camera) -> np.ndarray:
    """The matrix from camera to world, [4, 4], as in OpenGL: its columns are right, up, backward and position. The
    camera looks at the origin along -z.

    It is built from the angles, so it is defined straight above too.
    """
    a, e = radians(camera.azimuth), radians(camera.elevation)
    matrix = np.eye(4)
    matrix[:3, 0] = cos(a), 0.0, sin(a)
    matrix[:3, 1] = sin(e) * sin(a), cos(e), -sin(e) * cos(a)
    matrix[:3, 2] = -cos(e) * sin(a), sin(e), cos(e) * cos(a)
    matrix[:3, 3] = position(camera)
    return matrix


def ray_directions(camera: Camera, size: int) -> np.ndarray:
    """World directions through the centres of size x size pixels, [size, size, 3], row 0 at the top.

    They are not normalised: their length along the camera's axis is 1, so that a distance along them is a depth.
    """
    half = tan(radians(camera.fov) / 2)
    line = ((np.arange(size) + 0.5) / size * 2 - 1) * half
    x, y = np.meshgrid(line, -line)
    return np.stack([x, y, -np.ones_like(x)], -1) @ camera_matrix(camera)[:3, :3].T


def project(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Points [N, 3] projected onto the picture, [N, 2]: x to the right, y up, with the frame in [-1, 1]."""
    matrix = camera_matrix(camera)
    local = (points - matrix[:3, 3]) @ matrix[:3, :3]
    return local[:, :2] / (-local[:, 2:] * tan(radians(camera.fov) / 2))


def sample_azimuth(rng: np.random.Generator, view: str) -> float:
    """An azimuth, uniform within the sector of a view word; for overhead, uniform all around."""
    if view == "overhead":
        return float(rng.uniform(-180, 180))
    if view == "side":
        return float(rng.uniform(45, 135) * rng.choice((-1, 1)))
    return float(rng.uniform(-45, 45)) + (180.0 if view == "back" else 0.0)


def sample_camera(rng: np.random.Generator, chances: dict[str, float] = CHANCES) -> Camera:
    """One camera of the law above. `chances`: other probabilities of the view words, which sum to 1."""
    view = str(rng.choice(list(chances), p=list(chances.values())))
    azimuth = sample_azimuth(rng, view)
    elevation = float(rng.uniform(*ELEVATION.get(view, LEVEL)))
    return Camera(azimuth, elevation, float(rng.uniform(*RADIUS)))
