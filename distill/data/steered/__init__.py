"""Pictures with the inputs that can steer them: outlines, edges and depth, shrunk and moved with the picture.

    python -m distill.data.steered --preview grid.png --of toys+emoji        draws a sheet of examples

For toys all three are exact, as the renderer computes them (`exact.py`). For other pictures lines are detected
(`detected.py`), and depth is unknown. Sketches are drawn anew from the lines at every training step (`drawn.py`).
"""

import hashlib
from dataclasses import replace

import numpy as np
from PIL import Image

from distill.data import Example, Source
from distill.data.steered import detected, exact
from distill.data.steered.lines import Lines
from distill.data.toys import Toys

PLACED = 1  # version of the placement; raise it when it changes, so that caches are made anew
MOVED = 0.6  # share of the pictures that are shrunk and moved
SPAN = (0.3, 1.0)  # side of a moved picture, as a share of the frame's


class Steered:
    """The examples of `source`, placed somewhere in the frame, with `conditions` [H, W, 3]: outline, edges, depth."""

    steered = True

    def __init__(self, source: Source):
        self.source = source
        self.name = f"{source.name}-steered"
        lines = (exact if isinstance(source, Toys) else detected).DRAWN
        self.signature = "steered", PLACED * lines, getattr(source, "signature", source.name)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        example = self.source[index]
        toys = self.source if isinstance(self.source, Toys) else None
        lines = exact.lines(toys.scene(index)) if toys else detected.lines(example.picture)
        ground = detected.ground(example.picture)
        rng = np.random.default_rng([PLACED, index])
        if ground is not None and rng.random() < MOVED:
            example, lines = moved(example, lines, ground, rng)
        return replace(example, conditions=lines.stacked())


def moved(example: Example, lines: Lines, ground: np.ndarray, rng: np.random.Generator) -> tuple[Example, Lines]:
    """Picture and lines, shrunk alike and placed anywhere in a frame filled with the colour `ground` [3]."""
    side = len(example.picture)
    small = max(1, round(side * rng.uniform(*SPAN)))
    x, y = rng.integers(side - small + 1, size=2)
    frame = np.broadcast_to(ground, example.picture.shape).astype(np.uint8)
    shrunk = Image.fromarray(example.picture).resize((small, small), Image.Resampling.BOX)
    frame[y : y + small, x : x + small] = np.asarray(shrunk)
    key = hashlib.sha256(frame.tobytes()).hexdigest()
    return replace(example, picture=frame, key=key), lines.moved(small, x, y)
