"""The distance of a mesh from the true shape: the F-score on the visible surfaces."""

import numpy as np
import trimesh
from scipy.spatial import KDTree

from models.views import Camera
from threed.surface import Surface

NEAR = 0.05  # in a ball of radius 1: about two pixels
POINTS, SIZE = 6000, 64
VIEWS = [Camera(30.0 * k, elevation) for k in range(12) for elevation in (-35.0, 10.0, 50.0)]
YAWS = 24


def visible(mesh: trimesh.Trimesh, seed: int = 0) -> np.ndarray:
    """Points [POINTS, 3] on the surface that cameras all around see; hidden inner parts don't count."""
    scene = Surface(mesh)
    points = np.concatenate([scene.points(scene.seen(camera, SIZE)) for camera in VIEWS])
    return points[np.random.default_rng(seed).integers(len(points), size=POINTS)]


def f_score(a: np.ndarray, b: np.ndarray, near: float = NEAR) -> float:
    """The harmonic mean of the shares of points [N, 3] that are near the other set (Knapitsch et al. 2017, Eq. 5)."""
    precision, recall = (float((KDTree(q).query(p)[0] < near).mean()) for p, q in ((a, b), (b, a)))
    return 2 * precision * recall / max(precision + recall, 1e-9)


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """The points turned about the upright axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return points @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def fitted_to(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The points moved and scaled so that their bounding box has the centre and the longest side of the truth's."""
    low, high = points.min(0), points.max(0)
    to_low, to_high = truth.min(0), truth.max(0)
    return (points - (low + high) / 2) * ((to_high - to_low).max() / (high - low).max()) + (to_low + to_high) / 2


def aligned(points: np.ndarray, truth: np.ndarray, near: float = NEAR) -> float:
    """The best F-score over YAWS turns, each fitted to the truth's box. Another figure scores the orientation."""
    turns = (fitted_to(turned(points, 360 * k / YAWS), truth) for k in range(YAWS))
    return max(f_score(points, truth, near), *(f_score(p, truth, near) for p in turns))


def ellipsoid(truth: np.ndarray) -> trimesh.Trimesh:
    """The floor: an ellipsoid in the truth's bounding box."""
    low, high = truth.min(0), truth.max(0)
    ball = trimesh.creation.icosphere(4)
    ball.vertices = ball.vertices * (high - low) / 2 + (low + high) / 2
    return ball
