"""Outlines, edges and depth of a picture, each uint8 [H, W]."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import Image

CHANNELS = ("outline", "edges", "depth")


@dataclass(frozen=True)
class Lines:
    outline: np.ndarray  # 255 at the borders of objects, about a pixel wide
    edges: np.ndarray  # the outline with creases and changes of paint
    depth: np.ndarray  # 255 for the nearest surface; 0 for the background, and everywhere if depth is unknown

    def stacked(self) -> np.ndarray:
        """uint8 [H, W, 3], channels as in `CHANNELS`."""
        return np.stack([self.outline, self.edges, self.depth], -1)

    def moved(self, small: int, x: int, y: int) -> Self:
        """Shrunk to `small` pixels a side, with the upper left corner at (x, y). Lines stay a pixel wide."""
        side = len(self.outline)

        def placed(v: np.ndarray, gain: float) -> np.ndarray:
            shrunk = np.asarray(Image.fromarray(v).resize((small, small), Image.Resampling.BOX), np.float32) * gain
            frame = np.zeros_like(v)
            frame[y : y + small, x : x + small] = shrunk.clip(max=255)
            return frame

        thin = side / small
        return type(self)(placed(self.outline, thin), placed(self.edges, thin), placed(self.depth, 1.0))
