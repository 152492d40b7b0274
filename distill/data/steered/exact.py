"""Lines and depth of a toy scene, from what its rays met."""

import numpy as np
from scipy.ndimage import minimum_filter1d

from distill.data import SIDE
from distill.data.steered.lines import Lines
from distill.data.toys.render import SAMPLES, Seen, look
from distill.data.toys.scene import Scene

DRAWN = 2  # goes up when the lines of the same scene would be others, so that caches start anew
CREASE = float(np.cos(np.radians(38)))  # sharper ones are drawn
ACROSS = 6  # points that a rounded edge may take to turn
STEP = 0.06  # units in depth by which one part lies behind another
FARTHEST = 60.0  # of 255: the depth of what is farthest away, as nothing is 0


def lines(scene: Scene, side: int = SIDE) -> Lines:
    seen = look(scene, side)
    outline = outlines(seen)
    return Lines(whole(outline), whole(outline | creases(seen)), depth(seen))


def neighbours(v: np.ndarray) -> list[tuple[tuple[slice, slice], np.ndarray, np.ndarray]]:
    """Points with those to their right, then points with those below: (where the first lie, first, second)."""
    every, first = slice(None), slice(None, -1)
    return [((every, first), v[:, :-1], v[:, 1:]), ((first, every), v[:-1], v[1:])]


def outlines(seen: Seen) -> np.ndarray:
    """[S, S] bool: another thing, nothing, or another part of the thing well behind comes next."""
    out = np.zeros(seen.thing.shape, bool)
    for where, a, b in neighbours(seen.thing):
        out[where] |= a != b
    bent = np.where(np.isfinite(seen.depth), seen.depth, 0)
    jump = np.zeros(out.shape, bool)
    jump[:, 1:-1] |= np.abs(bent[:, :-2] - 2 * bent[:, 1:-1] + bent[:, 2:]) > STEP
    jump[1:-1] |= np.abs(bent[:-2] - 2 * bent[1:-1] + bent[2:]) > STEP
    return out | jump & (seen.thing >= 0) & ~beside(out)


def beside(line: np.ndarray) -> np.ndarray:
    """Points of a line and the points around them."""
    out = line.copy()
    out[1:] |= line[:-1]
    out[:-1] |= line[1:]
    wide = out.copy()
    wide[:, 1:] |= out[:, :-1]
    wide[:, :-1] |= out[:, 1:]
    return wide


def creases(seen: Seen) -> np.ndarray:
    """[S, S] bool: the surface turns sharply within `ACROSS` points, as rounded edges do, or another paint begins."""
    out = np.zeros(seen.thing.shape, bool)
    for (where, a, b), (_, p, q) in zip(neighbours(seen.thing), neighbours(seen.paint), strict=True):
        out[where] |= (a == b) & (a >= 0) & (p != q)
    return out | (turns(seen, 0) | turns(seen, 1)) & ~beside(outlines(seen))


def turns(seen: Seen, axis: int) -> np.ndarray:
    """[S, S] bool: between the points on both sides along an axis the normal turns by more than `CREASE`, most here."""
    thing, normal = np.moveaxis(seen.thing, axis, 0), np.moveaxis(seen.normal, axis, 0)
    before, after, middle = slice(None, -ACROSS), slice(ACROSS, None), slice(ACROSS // 2, -ACROSS // 2)
    alike = np.ones(thing.shape, np.float32)
    one = (thing[before] == thing[after]) & (thing[before] >= 0) & (thing[middle] == thing[before])
    alike[middle] = np.where(one, (normal[before] * normal[after]).sum(-1), 1)
    sharpest = (alike < CREASE) & (alike <= minimum_filter1d(alike, ACROSS + 1, axis=0) + 1e-6)
    first = np.zeros_like(sharpest)
    first[1:] = sharpest[1:] & ~sharpest[:-1]  # of a plateau the first point
    return np.moveaxis(first, 0, axis)


def whole(points: np.ndarray) -> np.ndarray:
    """uint8 at the picture's size: 255 where a line passes through the pixel."""
    side = len(points) // SAMPLES
    return np.where(points.reshape(side, SAMPLES, side, SAMPLES).any((1, 3)), 255, 0).astype(np.uint8)


def depth(seen: Seen) -> np.ndarray:
    """uint8: what is nearest 255, what is farthest `FARTHEST`."""
    there = np.isfinite(seen.depth)
    near, far = seen.depth[there].min(initial=np.inf), seen.depth[there].max(initial=-np.inf)
    share = (far - np.where(there, seen.depth, far)) / max(far - near, 1e-6)
    value = np.where(there, FARTHEST + (255 - FARTHEST) * share, 0)
    side = len(value) // SAMPLES
    return value.reshape(side, SAMPLES, side, SAMPLES).mean((1, 3)).round().astype(np.uint8)
