"""Camera conditioning of a UNet: a few numbers through its `class_embedding`, added to the time embedding.

All zeros mean "unknown" and add exactly nothing, as layers without biases map zero to zero: without a camera the
network paints as before.
"""

import contextlib
from collections.abc import Iterator, Sequence
from math import cos, radians, sin
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.views import Camera
from models.weights import check

FILE = "camera.safetensors"
NUMBERS, WIDTH = 6, 128
GAIN = 8.0  # of the output: the time embedding has a norm of about ten, and an optimiser moves all weights equally far


def numbers(cameras: Sequence[Camera | None]) -> Tensor:
    """[B, 6]: sine and cosine of the azimuth, of twice the azimuth, and of the elevation; None is unknown.

    Distances are left out, as the camera law (models/views.py) hardly varies them.
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
    """[B, 6] -> [B, T], the width of the time embedding. It adds zero until it is trained."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Linear(NUMBERS, WIDTH, bias=False)
        self.last = nn.Linear(WIDTH, width, bias=False)
        nn.init.zeros_(self.last.weight)

    def forward(self, camera: Tensor) -> Tensor:
        return GAIN * self.last(nn.functional.silu(self.first(camera.to(self.first.weight.dtype))))


def new_embedding(network: Any) -> CameraEmbedding:
    """An untrained embedding that fits this UNet2DConditionModel."""
    return CameraEmbedding(network.time_embedding.linear_2.out_features)


def save(embedding: CameraEmbedding, home: Path) -> None:
    save_file({k: v.detach().half().contiguous().cpu() for k, v in embedding.state_dict().items()}, home / FILE)


def load(network: Any, path: Path) -> CameraEmbedding:
    """A saved embedding for this UNet. Raises ValueError for a file that holds none."""
    check(path)
    embedding, saved = new_embedding(network), load_file(path)
    shapes = {k: v.shape for k, v in embedding.state_dict().items()}
    if {k: v.shape for k, v in saved.items()} != shapes:
        raise ValueError(f"{path.parent.name}/{path.name} is no embedding of cameras for this network")
    embedding.load_state_dict({k: v.float() for k, v in saved.items()})
    return embedding.eval().requires_grad_(False)


@contextlib.contextmanager
def telling(network: Any, embedding: CameraEmbedding | None, camera: Tensor | None, x: Tensor) -> Iterator[dict]:
    """Within: the shared network has this embedding. Yields the extra arguments of its call.

    Without `camera` the camera is unknown.
    """
    if embedding is None:
        yield {}
        return
    network.class_embedding = embedding
    try:
        yield {"class_labels": x.new_zeros(len(x), NUMBERS) if camera is None else camera}
    finally:
        network.class_embedding = None
