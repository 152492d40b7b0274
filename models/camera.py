"""Telling a UNet where the camera is: a few numbers through its `class_embedding`, added to that of the time.

All zero is "unknown", and adds exactly nothing: layers without biases keep zero zero, so a network that was never told
a camera paints as it did.
"""

from collections.abc import Sequence
from math import cos, radians, sin
from typing import Any

import torch
from torch import Tensor, nn

from models.views import Camera

NUMBERS, WIDTH = 6, 128


def numbers(cameras: Sequence[Camera | None]) -> Tensor:
    """[B, 6]: sine and cosine of the azimuth, of twice it, and of the elevation; None is unknown.

    Distances of the camera law are so alike that nothing is told of them.
    """
    rows = []
    for c in cameras:
        if c is None:
            rows.append([0.0] * NUMBERS)
            continue
        a, e = radians(c.azimuth), radians(c.elevation)
        rows.append([sin(a), cos(a), sin(2 * a), cos(2 * a), sin(e), cos(e)])
    return torch.tensor(rows)


class CameraEmbedding(nn.Module):
    """[B, 6] -> [B, T]; without an effect until it is trained."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Linear(NUMBERS, WIDTH, bias=False)
        self.last = nn.Linear(WIDTH, width, bias=False)
        nn.init.zeros_(self.last.weight)

    def forward(self, camera: Tensor) -> Tensor:
        return self.last(nn.functional.silu(self.first(camera.to(self.first.weight.dtype))))


def add_camera(network: Any) -> CameraEmbedding:
    """Puts a new one into a UNet2DConditionModel."""
    network.class_embedding = CameraEmbedding(network.time_embedding.linear_2.out_features)
    return network.class_embedding
