"""Lines of a picture of which nothing is known but its pixels: Canny's edges, and the outline of what is no ground."""

import numpy as np
from skimage.feature import canny

from distill.data.steered.lines import Lines

DRAWN = 1  # goes up when the lines of the same picture would be others, so that caches start anew
RIM = 6  # grey levels that a plain ground may vary by
AWAY = 24  # grey levels from the ground that make a pixel a thing's
SIGMA = 1.0  # pixels, of Canny's blur
LOW, HIGH = 0.06, 0.16  # Canny's thresholds, of a channel's range


def ground(picture: np.ndarray) -> np.ndarray | None:
    """The colour [3] around what is shown; None where the picture's rim is not of one colour."""
    rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]]).astype(np.float32)
    middle = np.median(rim, 0)
    return middle if np.mean(np.abs(rim - middle).max(-1) <= RIM) > 0.95 else None


def edges(picture: np.ndarray) -> np.ndarray:
    """[H, W] bool: edges of any of the three channels."""
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
