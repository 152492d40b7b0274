"""Pictures that follow a drawing: the fields control, control_kind and control_strength of a request.

The model's control (models/control.py) acts beside its network during the run, with the empty prompt too. Strength 0
gives exactly the pictures without it.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.Image import Image as Picture
from torch import Tensor, nn

from models import catalogue, families, inputs, weights
from models.catalogue import Row
from models.control import FOLDER, areas
from models.denoiser import Cond
from models.families import Parts
from models.manifest import CONTROLS
from models.request import ImageRequest

DARK = 128  # grey level below which the paper counts as dark, so that the ink is light
FAINT = 0.1  # contrast below which there is no line, as a share of the greatest contrast on this paper


@dataclass(frozen=True)
class Steer:
    """A request's drawing, ready for a model's control."""

    branch: nn.Module
    drawing: Tensor  # [1, 3, H, W] in [0, 1]
    kind: int  # an index of `CONTROLS`
    strength: float

    @classmethod
    def of(cls, parts: Parts, request: ImageRequest) -> "Steer | None":
        if not request.control or not request.control_strength:
            return None
        kind = request.control_kind
        row = catalogue.controls(parts.row, kind)[0]
        if reason := catalogue.available(row):
            raise ValueError(f"{row.id} can't run here. {reason}")
        drawing = shown(inputs.flat(inputs.load(request.control, "drawing")), kind, parts.row.size).to(parts.device)
        branch = load(row, parts.device, parts.denoiser.dtype)
        return cls(branch, drawing, CONTROLS.index(kind), request.control_strength)

    def beside(self, net: Any) -> Any:
        """The denoiser `net` with this control beside it."""
        return net.controlled(self.branch, self.strength)

    def conditioned(self, cond: Cond) -> Cond:
        kinds = torch.full((len(cond),), self.kind, device=self.drawing.device)
        return replace(cond, control=self.drawing.expand(len(cond), -1, -1, -1), control_kind=kinds)


def shown(picture: Picture, kind: str, side: int) -> Tensor:
    """A control's input from an RGB picture, [1, 3, side, side] in [0, 1]: ink is 1, near is 1, colours are kept.

    Raises ValueError for a sketch or edges without a line.
    """
    fitted = ImageOps.fit(picture, (side, side), Image.Resampling.BOX)
    if kind in ("sketch", "edges"):
        grey = ink(np.asarray(fitted.convert("L"), np.float32))
    elif kind == "depth":
        grey = np.asarray(fitted.convert("L"), np.float32) / 255
    else:
        colours = torch.from_numpy(np.array(fitted, np.float32) / 255)
        return areas(colours.permute(2, 0, 1)[None])
    return torch.from_numpy(grey).expand(1, 3, side, side)


def ink(grey: np.ndarray) -> np.ndarray:
    """The lines [H, W] in [0, 1] of a grey drawing [H, W], dark on light or light on dark; the strongest is 1."""
    paper = float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    away = (grey - paper) / max(255 - paper, 1) if paper < DARK else (paper - grey) / paper
    if away.max() < FAINT:
        raise ValueError("the drawing has no line; draw one, dark on light or light on dark")
    return (away / away.max()).clip(0, 1)


def load(row: Row, device: torch.device, dtype: torch.dtype) -> Any:
    """A control of the catalogue, read once. Raises ValueError for a missing or damaged file."""
    return _read(row.id, row.folder, row.hub, tuple(sorted(row.manifest.files.items())), device, dtype)


@lru_cache(maxsize=4)
def _read(id: str, folder: Path | None, hub: str | None, files: tuple, device: torch.device, dtype: torch.dtype) -> Any:
    row = catalogue.get(id)
    branch = families.family(row.manifest.family).CONTROL
    if folder is None:
        network = families.from_hub(branch.NETWORK, row, dtype)
    else:
        catalogue.verify(row)
        network = weights.load(branch.NETWORK, folder / FOLDER, dtype)
    return branch(network.to(device)).eval().requires_grad_(False)
