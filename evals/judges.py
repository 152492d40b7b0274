"""Classifiers of pictures: attributes of toy scenes, names of emoji. They measure generators.

There are three architectures, so that a picture that fools one need not fool another: `a` is a residual network, `b` a
ConvNeXt, and `emoji` a wider residual network whose classes are directions on a sphere. Pictures are downsampled before
the expensive layers, so that a judge trains on a CPU. No layer depends on the rest of the batch.
"""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from evals.labels import Heads

SIZE = 128  # pixels of a side
FEATURES = 128
GRID = 4  # cells on a side before the last layer, so that it can tell left from right
GROUPS = 8
COSINE_SCALE = 16.0  # the largest logit: enough for 1,000 classes, and small enough to learn


class Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.last(F.relu(self.first(self.norm(x))))


class Next(nn.Module):
    """A ConvNeXt block (Liu et al. 2022): a depthwise filter, 3 x 3 for speed, then a perceptron at each pixel."""

    def __init__(self, width: int):
        super().__init__()
        self.filter = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, 3 * width)
        self.last = nn.Linear(3 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.filter(x).permute(0, 2, 3, 1))  # [B, H, W, C]
        return x + self.last(F.relu(self.first(y))).permute(0, 3, 1, 2)


def residual(widths: tuple[int, ...], depths: tuple[int, ...]) -> nn.Sequential:
    """[B, 3, 128, 128] -> [B, widths[-1], 8, 8]; widths at 64 to 8 pixels, blocks after each halving."""
    layers: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(12, widths[0], 3, padding=1), nn.ReLU()]
    for (before, width), depth in zip(pairwise(widths), depths, strict=True):
        layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), *(Residual(width) for _ in range(depth))]
    return nn.Sequential(*layers, nn.GroupNorm(GROUPS, widths[-1]), nn.ReLU())


def convnext(widths: tuple[int, ...], depths: tuple[int, ...]) -> nn.Sequential:
    """[B, 3, 128, 128] -> [B, widths[-1], 8, 8]; widths and blocks at 32, 16 and 8 pixels."""
    layers: list[nn.Module] = []
    for (before, width), depth in zip(pairwise((3, *widths)), depths, strict=True):
        patch = 2 if layers else 4
        layers += [nn.Conv2d(before, width, patch, stride=patch), *(Next(width) for _ in range(depth))]
    return nn.Sequential(*layers, nn.GroupNorm(1, widths[-1]))


BODIES: dict[str, Callable[[], nn.Sequential]] = {
    "a": lambda: residual((16, 32, 64, 128), (0, 1, 2)),
    "b": lambda: convnext((32, 64, 192), (1, 1, 2)),
    "emoji": lambda: residual((16, 32, 64, 192), (0, 1, 2)),
}


def initialise(network: nn.Module) -> None:
    """Initialise so that signals keep their size and residual blocks start as identities (He et al. 2015; Goyal et al.
    2017).

    With torch's defaults signals shrink at each layer, and a judge takes several times as long to learn colours.
    """
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            assert layer.bias is not None, "every layer here has one"
            nn.init.zeros_(layer.bias)
    for block in network.modules():
        if isinstance(block, (Residual, Next)):
            nn.init.zeros_(block.last.weight)


class Cosine(nn.Module):
    """Logits as scaled cosines between features and a direction for each class (Wang et al. 2017)."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, features) / features**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return COSINE_SCALE * F.linear(F.normalize(x, dim=1), F.normalize(self.weight, dim=1))


class Judge(nn.Module):
    """A judge: pictures [B, 3, 128, 128], uint8 or float in [-1, 1], -> logits of each head."""

    def __init__(self, arch: str, heads: Heads):
        super().__init__()
        if arch not in BODIES:
            raise ValueError(f"unknown architecture {arch!r}; valid: {', '.join(BODIES)}")
        self.config = {"arch": arch, "heads": {name: list(classes) for name, classes in heads.items()}}
        self.body = BODIES[arch]()
        with torch.no_grad():
            width = self.body(torch.zeros(1, 3, SIZE, SIZE)).shape[1]
        self.project = nn.Linear(width * GRID * GRID, FEATURES)
        head = Cosine if arch == "emoji" else nn.Linear
        self.heads = nn.ModuleDict({name: head(FEATURES, len(classes)) for name, classes in heads.items()})
        initialise(self)

    @property
    def classes(self) -> dict[str, list[str]]:
        return self.config["heads"]

    def features(self, pictures: Tensor) -> Tensor:
        """The features [B, 128] before the heads, in which Fréchet distances, precision, recall and Vendi scores are
        computed. Raises ValueError for another size."""
        if pictures.ndim != 4 or pictures.shape[1:] != (3, SIZE, SIZE):
            raise ValueError(f"a judge reads pictures [B, 3, {SIZE}, {SIZE}], not {list(pictures.shape)}")
        x = pictures.float() / 127.5 - 1 if pictures.dtype == torch.uint8 else pictures
        x = x.contiguous(memory_format=torch.channels_last)
        return self.project(F.adaptive_avg_pool2d(self.body(x), GRID).flatten(1))

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        return {name: head(features) for name, head in self.heads.items()}

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        return self.logits(self.features(pictures))

    @torch.no_grad()
    def read(self, pictures: Tensor, chunk: int = 64) -> tuple[Tensor, dict[str, Tensor]]:
        """Features [N, 128] and the class of each head, int64 [N], computed in float32 by chunks."""
        parts = [self.features(part).float() for part in pictures.split(chunk)]
        features = torch.cat(parts)
        return features, {name: logits.argmax(1) for name, logits in self.logits(features).items()}

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors, in half precision, which is fine enough for a judge's margins."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=1, ensure_ascii=False) + "\n")
        tensors = {k: v.detach().half().contiguous().cpu() for k, v in self.state_dict().items()}
        save_file(tensors, folder / "model.safetensors")


def load(folder: Path) -> Judge:
    """The judge in a folder, frozen and in float32."""
    config = json.loads((folder / "config.json").read_text())
    judge = Judge(config["arch"], config["heads"])
    judge.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()})
    return judge.eval().requires_grad_(False).to(memory_format=torch.channels_last)
