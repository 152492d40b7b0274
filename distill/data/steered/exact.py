"""Outlines, edges and depth of a toy scene, computed from the renderer's buffers."""

import numpy as np
from scipy.ndimage import minimum_filter1d

from distill.data import SIDE
from distill.data.steered.lines import Lines
from distill.data.toys.render import SAMPLES, Seen, look
from distill.data.toys.scene import Scene

DRAWN = 2  # version of these lines; raise it when they change, so that caches are made anew
CREASE = float(np.cos(np.radians(38)))  # cosine of the smallest angle between normals that is drawn as a crease
ACROSS = 6  # samples within which a rounded edge may turn
STEP = 0.06  # jump in depth, in units of the scene, that separates two parts of one object
FARTHEST = 60.0  # of 255: depth of the farthest surface; the background is 0


def lines(scene: Scene, side: int = SIDE) -> Lines:
    seen = look(scene, side)
    outline = outlines(seen)
    return Lines(whole(outline), whole(outline | creases(seen)), depth(seen))


def neighbours(v: np.ndarray) -> list[tuple[tuple[slice, slice], np.ndarray, np.ndarray]]:
    """Horizontal, then vertical pairs of neighbours in [S, S, …]: (index of the first, first values, second values)."""
    every, first = slice(None), slice(None, -1)
    return [((every, first), v[:, :-1], v[:, 1:]), ((first, every), v[:-1], v[1:])]


def outlines(seen: Seen) -> np.ndarray:
    """[S, S] bool: samples next to another object, the background, or a part of the same object well behind."""
    out = np.zeros(seen.thing.shape, bool)
    for where, a, b in neighbours(seen.thing):
        out[where] |= a != b
    bent = np.where(np.isfinite(seen.depth), seen.depth, 0)
    jump = np.zeros(out.shape, bool)
    jump[:, 1:-1] |= np.abs(bent[:, :-2] - 2 * bent[:, 1:-1] + bent[:, 2:]) > STEP
    jump[1:-1] |= np.abs(bent[:-2] - 2 * bent[1:-1] + bent[2:]) > STEP
    return out | jump & (seen.thing >= 0) & ~beside(out)


def beside(line: np.ndarray) -> np.ndarray:
    """[S, S] bool: the samples of a line and their eight neighbours."""
    out = line.copy()
    out[1:] |= line[:-1]
    out[:-1] |= line[1:]
    wide = out.copy()
    wide[:, 1:] |= out[:, :-1]
    wide[:, :-1] |= out[:, 1:]
    return wide


def creases(seen: Seen) -> np.ndarray:
    """[S, S] bool: the surface turns by more than `CREASE` within `ACROSS` samples, or its paint changes."""
    out = np.zeros(seen.thing.shape, bool)
    for (where, a, b), (_, p, q) in zip(neighbours(seen.thing), neighbours(seen.paint), strict=True):
        out[where] |= (a == b) & (a >= 0) & (p != q)
    return out | (turns(seen, 0) | turns(seen, 1)) & ~beside(outlines(seen))


def turns(seen: Seen, axis: int) -> np.ndarray:
    """[S, S] bool: along the axis, the normals `ACROSS` samples apart differ by more than `CREASE`, and most here."""
    thing, normal = np.moveaxis(seen.thing, axis, 0), np.moveaxis(seen.normal, axis, 0)
    before, after, middle = slice(None, -ACROSS), slice(ACROSS, None), slice(ACROSS // 2, -ACROSS // 2)
    alike = np.ones(thing.shape, np.float32)
    one = (thing[before] == thing[after]) & (thing[before] >= 0) & (thing[middle] == thing[before])
    alike[middle] = np.where(one, (normal[before] * normal[after]).sum(-1), 1)
    sharpest = (alike < CREASE) & (alike <= minimum_filter1d(alike, ACROSS + 1, axis=0) + 1e-6)
    first = np.zeros_like(sharpest)
    first[1:] = sharpest[1:] & ~sharpest[:-1]  # the first sample of a plateau
    return np.moveaxis(first, 0, axis)


def whole(points: np.ndarray) -> np.ndarray:
    """uint8 [H, W] from samples [S, S]: 255 where a line passes through the pixel."""
    side = len(points) // SAMPLES
    return np.where(points.reshape(side, SAMPLES, side, SAMPLES).any((1, 3)), 255, 0).astype(np.uint8)


def depth(seen: Seen) -> np.ndarray:
    """uint8 [H, W]: 255 for the nearest surface, `FARTHEST` for the farthest, 0 for the background."""
    there = np.isfinite(seen.depth)
    near, far = seen.depth[there].min(initial=np.inf), seen.depth[there].max(initial=-np.inf)
    share = (far - np.where(there, seen.depth, far)) / max(far - near, 1e-6)
    value = np.where(there, FARTHEST + (255 - FARTHEST) * share, 0)
    side = len(value) // SAMPLES
    return value.reshape(side, SAMPLES, side, SAMPLES).mean((1, 3)).round().astype(np.uint8)
