"""The density of a finished thing, stored so that other thresholds can be tried before the thing is made again."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh

from core.files import whole_file
from threed.field import sampled
from threed.fit import Particle
from threed.mesh import SIDE, THRESHOLDS, agreement, largest, simplified, smoothed, surface

NAME, FACES = "density.npz", 6000


@dataclass(frozen=True)
class Trial:
    density: np.ndarray  # [SIDE, SIDE, SIDE], z, y, x
    agreement: np.ndarray  # IoU of silhouettes with the field's, at each of THRESHOLDS

    @classmethod
    @torch.no_grad()
    def of(cls, one: Particle) -> "Trial":
        return cls(smoothed(sampled(one.field, SIDE)).numpy(), agreement(one.field, one.cells))

    @classmethod
    def read(cls, folder: Path) -> "Trial":
        """The trial in a folder. Raises ValueError where there is none."""
        if not (folder / NAME).is_file():
            raise ValueError("its density is not there any more, so no threshold can be tried")
        with np.load(folder / NAME) as kept:
            return cls(kept["density"].astype(np.float32), kept["agreement"])

    def write(self, folder: Path) -> None:
        with whole_file(folder / NAME) as part, part.open("wb") as f:
            np.savez_compressed(f, density=self.density.astype(np.float16), agreement=self.agreement)

    def cut(self, threshold: float) -> trimesh.Trimesh:
        """The surface at a threshold, without colours. Raises NoSurface."""
        return simplified(largest(surface(torch.from_numpy(self.density), threshold)), FACES)

    def agrees(self, threshold: float) -> float:
        """The agreement of silhouettes at the nearest threshold that was measured."""
        return float(self.agreement[np.abs(np.log(THRESHOLDS / threshold)).argmin()])
