"""Image to image and inpainting: the fields image, strength, mask and only_masked of a request.

A run from a picture z walks the model's own steps with their angles (`models.schedule.angle`) times `strength`, so
strength is continuous for every family and step count. It starts at x = alpha z + sigma eps of the first angle; at
strength 1 it is the run without a picture. The latents that the mask keeps are put back into every x0, so that each
next x_t holds them with its own noise. After decoding, the kept pixels are those of the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.Image import Image as Picture
from torch import Generator, Tensor

from models import families, inputs
from models.families import Parts
from models.request import ImageRequest
from models.schedule import angle, time_at
from models.stepping import ConsistencySteps, DdimSteps, SchedulerSteps

Box = tuple[int, int, int, int]
ROOM = 0.25  # of a masked part's side, painted around it with only_masked
LEAST = 32  # pixels of the part that only_masked paints


@dataclass(frozen=True)
class Edit:
    """The picture and mask of a request, prepared for a model. Sizes are the model's."""

    picture: Picture  # RGB, the picture to start from
    mask: Picture | None  # L, white where the picture is repainted
    box: Box | None  # the part that is repainted at full size; None is the whole
    z: Tensor  # latents [1, C, h, w] of that part, of unit variance
    m: Tensor | None  # the mask at the size of the latents, [1, 1, h, w] in [0, 1]
    strength: float

    @classmethod
    def of(cls, parts: Parts, request: ImageRequest) -> "Edit | None":
        if not request.image:
            return None
        given = inputs.flat(inputs.load(request.image))
        mask = inputs.load(request.mask, "mask") if request.mask else None
        if mask is not None and mask.size != given.size:
            (w, h), (a, b) = mask.size, given.size
            raise ValueError(f"the mask has {w} x {h} pixels and its picture {a} x {b}; both must have one size")
        size = (parts.row.size, parts.row.size)
        picture = ImageOps.fit(given, size, Image.Resampling.LANCZOS)
        mask = None if mask is None else ImageOps.fit(inputs.flat(mask).convert("L"), size, Image.Resampling.BOX)
        box = around(mask) if mask is not None and request.only_masked else None
        part, shape = picture.crop(box).resize(size, Image.Resampling.LANCZOS) if box else picture, mask
        if mask is not None and box:
            shape = mask.crop(box).resize(size, Image.Resampling.BILINEAR)
        m = None if shape is None else over_latents(shape, parts).to(parts.device)
        return cls(picture, mask, box, encoded(parts, part), m, request.strength)

    def kept(self, x0: Tensor) -> Tensor:
        """x0 [B, C, h, w] with the latents of the picture where the mask is black."""
        return x0 if self.m is None else torch.lerp(self.z, x0, self.m)

    def whole(self, painted: Picture) -> Picture:
        """The picture with the painted part in its place. Where the mask is black, its own pixels stay bit for bit."""
        if self.mask is None:
            return painted
        if self.box:
            left, top, right, bottom = self.box
            part = painted.resize((right - left, bottom - top), Image.Resampling.LANCZOS)
            painted = self.picture.copy()
            painted.paste(part, (left, top))
        return Image.composite(painted, self.picture, self.mask)

    def steps(self, own: SchedulerSteps, generators: Sequence[Generator]) -> DdimSteps | ConsistencySteps:
        """The model's own steps at angles times `strength`, with fresh noise where its scheduler draws some."""
        times = [time_at(own.schedule, angle(own.schedule, t) * self.strength) for t in own.times]

        def draw(x: Tensor) -> Tensor:
            return torch.cat([torch.randn((1, *x.shape[1:]), generator=g) for g in generators]).to(x)

        return ConsistencySteps(own.schedule, times, draw) if own.draws else DdimSteps(own.schedule, times)


def around(mask: Picture) -> Box | None:
    """A square around the part that is not black, with some room. None where it would be the whole picture, or where
    all is black."""
    box = mask.getbbox()
    if box is None:
        return None
    left, top, right, bottom = box
    side = min(max(LEAST, round(max(right - left, bottom - top) * (1 + 2 * ROOM))), *mask.size)
    x = min(max(0, (left + right - side) // 2), mask.width - side)
    y = min(max(0, (top + bottom - side) // 2), mask.height - side)
    return (x, y, x + side, y + side) if side < min(mask.size) else None


def over_latents(mask: Picture, parts: Parts) -> Tensor:
    """The white share of each latent's pixels, [1, 1, h, w]."""
    white = torch.from_numpy(np.array(mask, dtype=np.float32) / 255)
    return torch.nn.functional.adaptive_avg_pool2d(white[None, None], parts.latent[1:])


@torch.no_grad()
def encoded(parts: Parts, picture: Picture) -> Tensor:
    """The latents of a picture, [1, C, h, w], of unit variance."""
    pixels: Any = torch.from_numpy(np.array(picture, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    family = families.family(parts.row.manifest.family)
    return family.encode(parts.vae, pixels.to(parts.device, parts.vae_dtype)).float()
