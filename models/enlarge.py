"""Enlarging pictures after they are painted: the networks, the factors, and which networks are installed.

The box's own network is fast enough for a wall of pictures. Its teacher is a choice where its two packages are
installed. Both enlarge four times; for twice, their result is halved. No torch here.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL.Image import Image as Picture
from PIL.Image import Resampling, fromarray

from models import catalogue, realesrgan

ENLARGER, TEACHER = "toybox-enlarger", "real-esrgan"
ENLARGERS = (ENLARGER, TEACHER)
FACTORS = (1, 2, 4)
MOST = 4


def missing(name: str) -> str | None:
    """One sentence where this enlarger can't run here."""
    return realesrgan.missing() if name == TEACHER else None


def enlarged(picture: Picture, factor: int, by: str = ENLARGER) -> Picture:
    """The picture, `factor` times as large. Raises ValueError where the enlarger is not installed."""
    if factor == 1:
        return picture
    large = fromarray(_answer(by)(np.array(picture.convert("RGB"))[None])[0])
    if factor < MOST:
        large = large.resize((picture.width * factor, picture.height * factor), Resampling.BOX)
    large.info = dict(picture.info)  # names the back end that computed the picture
    return large


def _answer(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """The enlarger's function from uint8 [B, H, W, 3] to [B, 4H, 4W, 3]."""
    if name == TEACHER:
        return realesrgan.enlarge
    row = catalogue.get(name)
    catalogue.verify(row)
    assert row.folder is not None, "it is no row of the Hub"
    return _student(row.folder, tuple(row.manifest.files.values()))


@functools.lru_cache(maxsize=1)
def _student(folder: Path, files: tuple[str, ...]) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    from models import enlarger

    net = enlarger.load(folder).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def answer(pictures: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        y = net(x).clamp(-1, 1).add(1).mul(127.5).round().byte()
        return y.permute(0, 2, 3, 1).contiguous().numpy()

    return answer
