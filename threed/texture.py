"""Baking the colours of a surface into a texture."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from threed.field import BOUND, Field
from threed.surface import Paint, Skinned, Surface

SECONDS = 60.0  # time limit of xatlas; after it every face gets half a square of its own
OUT, IN, SAMPLES = 0.03, 0.09, 12  # distances outside and inside the surface between which its colour is sampled


def unwrapped(mesh: trimesh.Trimesh, side: int, seconds: float = SECONDS) -> tuple[np.ndarray, str]:
    """Texture coordinates [F, 3, 2], and the name of the method that gave them."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, vertices=mesh.vertices, faces=mesh.faces, side=side)
        command = [sys.executable, "-m", "threed.unwrap", str(given), str(made)]
        try:
            subprocess.run(command, timeout=seconds, capture_output=True, check=True)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
            return squares(len(mesh.faces), side), "squares"
        return np.load(made)["uv"].astype(np.float64), "xatlas"


def squares(faces: int, side: int) -> np.ndarray:
    """Texture coordinates [F, 3, 2] with two faces in each square, in rows, with a margin of a pixel."""
    rows = int(np.ceil(np.sqrt(np.ceil(faces / 2))))
    cell, edge = 1 / rows, 1.5 / side
    square, upper = np.divmod(np.arange(faces), 2)
    low, high = edge, cell - edge
    lower = np.array([[low, low], [high - edge, low], [low, high - edge]])
    other = np.array([[high, high], [low + edge, high], [high, low + edge]])
    corner = np.stack([square % rows, square // rows], -1)[:, None] * cell
    return corner + np.where(upper[:, None, None], other, lower)


def bake(mesh: trimesh.Trimesh, uv: np.ndarray, side: int, paint: Paint) -> np.ndarray:
    """The texture, uint8 [side, side, 3]. One ray for each texel, cast at the flat layout, finds its face."""
    flat = trimesh.Trimesh(
        np.concatenate([uv, np.zeros_like(uv[..., :1])], -1).reshape(-1, 3),
        np.arange(3 * len(uv)).reshape(-1, 3),
        process=False,
    )
    x, y = np.meshgrid((np.arange(side) + 0.5) / side, 1 - (np.arange(side) + 0.5) / side)
    above = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
    hits = Surface(flat).hit(above, np.tile((0.0, 0.0, -1.0), (len(above), 1)))
    faces = np.asarray(mesh.faces)
    normals = hits.of(np.asarray(mesh.vertex_normals), faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    image, filled = np.zeros((side * side, 3)), np.zeros(side * side, bool)
    image[hits.ray], filled[hits.ray] = paint(hits.of(np.asarray(mesh.vertices), faces), normals), True
    image, filled = image.reshape(side, side, 3), filled.reshape(side, side)
    nearest: Any = distance_transform_edt(~filled, return_distances=False, return_indices=True)
    row, column = nearest  # fills texels beyond the edges of charts
    return np.round(image[row, column] * 255).clip(0, 255).astype(np.uint8)


def field_paint(field: Field, chunk: int = 2**16) -> Paint:
    """The colours of a field seen from just outside, along the normal."""
    far = torch.linspace(OUT, -IN, SAMPLES)

    @torch.no_grad()
    def some(points: Tensor, normals: Tensor) -> Tensor:
        places = points[:, None] + far[:, None] * normals[:, None]  # [N, S, 3]
        density, colour = field(places.reshape(-1, 3).clamp(-BOUND, BOUND))
        thick = density.reshape(-1, SAMPLES) * (OUT + IN) / SAMPLES
        weight = torch.exp(thick - thick.cumsum(1)) * (1 - torch.exp(-thick)) + 1e-6
        return (weight[..., None] * colour.reshape(*weight.shape, 3)).sum(1) / weight.sum(1, keepdim=True)

    def paint(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        parts = zip(
            torch.from_numpy(points).float().split(chunk), torch.from_numpy(normals).float().split(chunk), strict=True
        )
        return torch.cat([some(p, n) for p, n in parts]).numpy()

    return paint


def skinned(mesh: trimesh.Trimesh, side: int, paint: Paint, seconds: float = SECONDS) -> tuple[Skinned, str]:
    """The mesh with its texture, and the name of the method that cut it into charts."""
    uv, how = unwrapped(mesh, side, seconds)
    return Skinned(mesh, uv, bake(mesh, uv, side, paint)), how
