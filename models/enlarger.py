"""The network that enlarges pictures four times: a few convolutions at the small size, the last of which gives sixteen
pixels in place of each (sub-pixel convolution, Shi et al. 2016). Their output is added to the picture enlarged by
repeating pixels, as in its teacher (Real-ESRGAN's SRVGGNetCompact).
"""

import json
from itertools import pairwise
from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models import weights

FACTOR = 4
CONFIG, WEIGHTS = "config.json", "model.safetensors"


class Enlarger(nn.Module):
    """Pictures [B, 3, h, w] in [-1, 1] to [B, 3, 4h, 4w]. `depth`: convolutions, each of 3 × 3, the last included."""

    def __init__(self, width: int, depth: int):
        super().__init__()
        self.config = {"width": width, "depth": depth}
        sizes = [3, *[width] * (depth - 1)]
        layers: list[nn.Module] = []
        for i, o in pairwise(sizes):
            layers += [nn.Conv2d(i, o, 3, padding=1), nn.LeakyReLU(0.1)]
        self.body = nn.Sequential(*layers, nn.Conv2d(sizes[-1], 3 * FACTOR**2, 3, padding=1))

    @property
    def reach(self) -> int:
        """How far a pixel is influenced, in pixels of the small picture."""
        return self.config["depth"]

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.body(x) + x.repeat_interleave(FACTOR**2, 1), FACTOR)

    def save(self, folder: Path) -> None:
        (folder / CONFIG).write_text(json.dumps(self.config, indent=1) + "\n")
        tensors = {k: v.detach().half().contiguous().cpu() for k, v in self.state_dict().items()}
        save_file(tensors, folder / WEIGHTS)


def load(folder: Path) -> Enlarger:
    """The network of a folder, frozen and in float32."""
    weights.check(folder / WEIGHTS)
    net = Enlarger(**json.loads((folder / CONFIG).read_text()))
    net.load_state_dict({k: v.float() for k, v in load_file(folder / WEIGHTS).items()})
    return net.eval().requires_grad_(False)
