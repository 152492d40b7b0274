"""Lines detected in a picture's pixels: Canny edges, and the outline of the object on a plain background."""

import numpy as np
from skimage.feature import canny

from distill.data.steered.lines import Lines

DRAWN = 1  # version of these lines; raise it when they change, so that caches are made anew
RIM = 6  # grey levels by which a plain background may vary
AWAY = 24  # grey levels by which an object's pixel differs from the background
SIGMA = 1.0  # standard deviation of Canny's blur, in pixels
LOW, HIGH = 0.06, 0.16  # Canny's thresholds, for channels in [0, 1]


def ground(picture: np.ndarray) -> np.ndarray | None:
    """The background's colour [3] in grey levels; None if the picture's border is not of one colour."""
    rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]]).astype(np.float32)
    middle = np.median(rim, 0)
    return middle if np.mean(np.abs(rim - middle).max(-1) <= RIM) > 0.95 else None


def edges(picture: np.ndarray) -> np.ndarray:
    """[H, W] bool: Canny edges of any of the three channels of a uint8 picture [H, W, 3]."""
    channels = np.moveaxis(picture.astype(np.float32) / 255, -1, 0)
    return np.any([canny(c, SIGMA, LOW, HIGH) for c in channels], 0)


def lines(picture: np.ndarray) -> Lines:
    edge, colour = edges(picture), ground(picture)
    outline = edge
    if colour is not None:
        thing = np.abs(picture - colour).max(-1) > AWAY
        outline = np.zeros_like(edge)
        outline[:, :-1] |= thing[:, :-1] != thing[:, 1:]
        outline[:-1] |= thing[:-1] != thing[1:]
    return Lines(
        outline.astype(np.uint8) * 255, (edge | outline).astype(np.uint8) * 255, np.zeros(edge.shape, np.uint8)
    )
