"""The camera as an input of a UNet: where each cell of its latents lies in the world, added to its first features.

A cell's place is the point of its ray that is nearest the origin, around which things stand. What is to be painted in
a cell depends on it: a mug has its handle at -x. All zeros mean "unknown" and add exactly nothing, as layers without
biases map zero to zero: without a camera the network paints as before.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import cos, radians, sin, tan
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.catalogue import Row, has_camera
from models.manifest import CAMERA
from models.views import FOV, RADIUS, Camera
from models.weights import check

NUMBERS, PLACE, WIDTH = 4, 6, 128
HALF = sum(RADIUS) / 2 * tan(radians(FOV / 2))  # of the picture's side, at the origin


def numbers(cameras: Sequence[Camera | None]) -> Tensor:
    """[B, 4]: sine and cosine of the azimuth and of the elevation; None is unknown.

    Distances are left out, as the camera law (models/views.py) hardly varies them.
    """
    rows = []
    for c in cameras:
        a, e = (radians(c.azimuth), radians(c.elevation)) if c else (0.0, 0.0)
        rows.append([sin(a), cos(a), sin(e), cos(e)] if c else [0.0] * NUMBERS)
    return torch.tensor(rows)


def told(row: Row, cond: Any, cameras: Sequence[Camera | None]) -> Any:
    """The condition with its rows' cameras, where the model has a camera input."""
    return replace(cond, camera=numbers(cameras).to(cond.tokens.device)) if has_camera(row) else cond


def places(camera: Tensor, height: int, width: int) -> Tensor:
    """[B, 4] -> [B, 6, h, w]: the place of each cell in the world, u R + v U, and the direction towards the camera.

    R, U and B, the camera's axes right, up and backward, are the columns of `views.camera_matrix`. Rays are taken as
    parallel, and u and v run from -HALF to HALF.
    """
    sin_a, cos_a, sin_e, cos_e = camera.unbind(1)
    zero = torch.zeros_like(sin_a)
    right = torch.stack([cos_a, zero, sin_a], 1)
    up = torch.stack([sin_e * sin_a, cos_e, -sin_e * cos_a], 1)
    back = torch.stack([-cos_e * sin_a, sin_e, cos_e * cos_a], 1)
    u = ((torch.arange(width).to(camera) + 0.5) / width * 2 - 1) * HALF
    v = (1 - (torch.arange(height).to(camera) + 0.5) / height * 2) * HALF
    place = right[..., None, None] * u + up[..., None, None] * v[:, None]
    return torch.cat([place, back[..., None, None].expand_as(place)], 1)


class CameraEmbedding(nn.Module):
    """Cameras [B, 4] -> [B, C, h, w], added to the outputs of the first convolution.

    Zero until it is trained, or until `begin`.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(PLACE, WIDTH, 1, bias=False)
        self.last = nn.Conv2d(WIDTH, channels, 1, bias=False)
        nn.init.zeros_(self.last.weight)

    @torch.no_grad()
    def begin(self, scale: float) -> None:
        """Random weights, with which outputs have about this standard deviation: a network learns to read a place that
        is there much sooner than one that grows from zero."""
        nn.init.normal_(self.first.weight)
        nn.init.normal_(self.last.weight, std=scale / WIDTH**0.5)

    def forward(self, camera: Tensor, height: int, width: int) -> Tensor:
        place = places(camera, height, width).to(self.first.weight.dtype)
        return self.last(nn.functional.silu(self.first(place)))


def new_embedding(network: Any) -> CameraEmbedding:
    """An untrained embedding that fits this UNet2DConditionModel."""
    return CameraEmbedding(network.conv_in.out_channels)


def noise_scale(network: Any) -> float:
    """The standard deviation of the first convolution's outputs for noise, over its channels."""
    return float(network.conv_in.weight.flatten(1).norm(dim=1).detach().mean())


def save(embedding: CameraEmbedding, home: Path) -> None:
    save_file({k: v.detach().half().contiguous().cpu() for k, v in embedding.state_dict().items()}, home / CAMERA)


def load(network: Any, path: Path) -> CameraEmbedding:
    """A saved embedding for this UNet. Raises ValueError for a file that holds none."""
    check(path)
    embedding, saved = new_embedding(network), load_file(path)
    shapes = {k: v.shape for k, v in embedding.state_dict().items()}
    if {k: v.shape for k, v in saved.items()} != shapes:
        raise ValueError(f"{path.parent.name}/{path.name} is no embedding of cameras for this network")
    embedding.load_state_dict({k: v.float() for k, v in saved.items()})
    return embedding.eval().requires_grad_(False)


def give(denoiser: Any, row: Row) -> None:
    """The camera input of a row that has one, put on its denoiser."""
    if has_camera(row) and row.folder is not None:
        where = next(denoiser.network.parameters()).device
        denoiser.camera = load(denoiser.network, row.folder / CAMERA).to(where, denoiser.dtype)


@contextlib.contextmanager
def telling(network: Any, embedding: CameraEmbedding | None, camera: Tensor | None) -> Iterator[None]:
    """Within: the first features of the shared network have this embedding of the cameras [B, 4] added.

    Without `camera` the camera is unknown, and nothing is added.
    """
    if embedding is None or camera is None:
        yield
        return
    hook = network.conv_in.register_forward_hook(lambda _, __, out: out + embedding(camera, *out.shape[2:]).to(out))
    try:
        yield
    finally:
        hook.remove()
