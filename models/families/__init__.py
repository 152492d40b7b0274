"""One file a family: `load(row, device, dtype) -> Parts`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from models import catalogue
from models.catalogue import Row
from models.denoiser import Cond


@dataclass(frozen=True)
class Parts:
    """A model that is ready to paint. The pipeline is diffusers' own, around the same parts."""

    row: Row
    text: Callable[[Sequence[str]], Cond]  # one row a text, padded to the longest
    denoiser: Any  # a Denoiser; None where only an autoencoder was loaded, which paints nothing
    vae: Any
    scheduler: Any
    pipeline: Any

    @property
    def device(self) -> torch.device:
        return next(self.vae.parameters()).device  # pipeline.device looks through every module: milliseconds

    @property
    def latent(self) -> tuple[int, int, int]:
        """[C, h, w] of one picture."""
        side = self.row.size // self.pipeline.vae_scale_factor
        return self.vae.config.latent_channels, side, side


def load(row: Row, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, **options: Any) -> Parts:
    """Every file is compared with its sha256, before and after. Raises ValueError for what can't be loaded."""
    name = f"models.families.{row.manifest.family}"
    if not row.manifest.family.isidentifier() or find_spec(name) is None:
        raise ValueError(f"unknown family {row.manifest.family!r} of {row.id}; valid: sana")
    if row.manifest.kind in catalogue.HIDDEN:
        raise ValueError(f"{row.id} paints nothing: it is part of other models")
    catalogue.verify(row)
    parts = import_module(name).load(row, device, dtype, **options)
    try:
        catalogue.verify(row)
    except ValueError:
        raise ValueError(f"{row.id} was replaced while it was being loaded; ask again") from None
    return parts
