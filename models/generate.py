"""generate(parts, request) -> iterator of events: the one loop for every family."""

from collections.abc import Iterator
from dataclasses import dataclass

from PIL.Image import Image as Picture
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """Once per step, before x_t moves on. Tensors are on the model's device; rows are the pictures."""

    i: int
    t: float  # in [0, 1], noise at 1
    log_snr: float
    x_t: Tensor  # [B, C, H, W], unit variance
    x0: Tensor  # what the model thinks the pictures will be, [B, C, H, W]


@dataclass(frozen=True)
class Image:
    """Once per finished picture."""

    index: int
    picture: Picture
    seed: int
    steps: int
    calls: int  # of the network, for the batch this picture came in
    latency_ms: float  # from the start of the request to this picture
    text_ms: float
    denoise_ms: float
    decode_ms: float
    text: str  # what the encoder read


Event = Step | Image
