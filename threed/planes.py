"""Fields that a small network reads: a tri-plane, and a hash grid.

Both add their network's density to the cone that a dense grid starts with, so all fields begin equal.
"""

from math import log2

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threed.field import BOUND, activated, blob, nodes

WIDTH = 32  # of the network's hidden layer
CHANNELS = 12  # of each plane
LEVELS, SLOTS, EACH = 8, 2**14, 2  # of the hash grid: levels, entries of each, numbers of each entry
COARSEST, FINEST = 8, 128  # sides of its grids
PRIMES = (1, 2_654_435_761, 805_459_861)


class Read(nn.Module):
    """A field whose features at a point are read by a small network; a subclass says what the features are."""

    shares = (1.0, 0.1)  # factors of the learning rate: of the features, and of the network

    def __init__(self, side: int, features: int):
        super().__init__()
        self.register_buffer("size", torch.tensor(side))  # saved, so that a resumed run knows it
        last = nn.Linear(WIDTH, 4)
        self.net = nn.Sequential(nn.Linear(features, WIDTH), nn.ReLU(), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    @property
    def side(self) -> int:
        return int(self.get_buffer("size"))

    def features(self, points: Tensor) -> Tensor:
        """Features [N, C] at points [N, 3]."""
        raise TypeError(f"{type(self).__name__} must say what its features are")

    def groups(self) -> list[list[nn.Parameter]]:
        own = list(self.net.parameters())
        return [[w for w in self.parameters() if all(w is not one for one in own)], own]

    def _at(self, points: Tensor) -> Tensor:
        out = self.net(self.features(points))
        return torch.cat([out[:, :1] + blob(points.norm(dim=-1, keepdim=True)), out[:, 1:]], 1)

    def density(self, points: Tensor) -> Tensor:
        return activated(self._at(points)[:, 0])

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        out = self._at(points)
        return activated(out[:, 0]), torch.sigmoid(out[:, 1:])

    @torch.no_grad()
    def logits(self, side: int) -> Tensor:
        """The colour logits at the nodes of a grid, [1, 3, side, side, side]."""
        parts = nodes(side).reshape(-1, 3).split(2**16)
        return torch.cat([self._at(part)[:, 1:] for part in parts]).T.reshape(1, 3, side, side, side)


class TriPlane(Read):
    """Features on three planes, bilinear in between and summed (Chan et al. 2022, EG3D, Sec. 4.1)."""

    KEY = "planes"

    def __init__(self, side: int):
        super().__init__(side, CHANNELS)
        self.planes = nn.Parameter(nn.init.normal_(torch.empty(3, CHANNELS, 2 * side, 2 * side), std=0.1))

    def features(self, points: Tensor) -> Tensor:
        x, y, z = (points / BOUND).unbind(-1)
        where = torch.stack([torch.stack(pair, -1) for pair in ((x, y), (y, z), (x, z))])[:, None]  # [3, 1, N, 2]
        read = F.grid_sample(self.planes, where, padding_mode="border", align_corners=True)  # [3, C, 1, N]
        return read.sum(0)[:, 0].T

    @torch.no_grad()
    def refined(self, side: int) -> "TriPlane":
        finer = TriPlane(side)
        finer.net.load_state_dict(self.net.state_dict())
        finer.planes.copy_(F.interpolate(self.planes, (2 * side,) * 2, mode="bilinear", align_corners=True))
        return finer

    @torch.no_grad()
    def smooth(self, share: float) -> None:
        """Smooth the planes, as a total variation loss does."""
        mean = F.avg_pool2d(F.pad(self.planes, (1,) * 4, mode="replicate"), 3, stride=1)
        self.planes.lerp_(mean, share)


class HashGrid(Read):
    """Features of several grids, whose nodes share the entries of a table (Müller et al. 2022, Sec. 3). It is meant for
    a GPU: on a CPU its scattered reads cost more than a dense grid."""

    KEY = "table"

    def __init__(self, side: int):
        super().__init__(side, LEVELS * EACH)
        self.table = nn.Parameter(nn.init.uniform_(torch.empty(LEVELS, SLOTS, EACH), -0.01, 0.01))
        growth = log2(FINEST / COARSEST) / (LEVELS - 1)
        sides = torch.tensor([int(COARSEST * 2 ** (growth * level)) for level in range(LEVELS)])
        self.register_buffer("sides", sides, persistent=False)

    def features(self, points: Tensor) -> Tensor:
        unit = ((points / BOUND + 1) / 2).clamp(0, 1)
        corners = torch.tensor([[k >> axis & 1 for axis in range(3)] for k in range(8)], device=points.device)
        primes, out = torch.tensor(PRIMES, device=points.device), []
        for entries, side in zip(self.table, self.get_buffer("sides").tolist(), strict=True):
            low = (unit * side).floor().clamp(max=side - 1)
            share = (unit * side - low)[:, None]
            x, y, z = ((low.long()[:, None] + corners) * primes).unbind(-1)  # [N, 8]
            weight = torch.where(corners.bool(), share, 1 - share).prod(-1)
            out.append(F.embedding_bag((x ^ y ^ z) % SLOTS, entries, mode="sum", per_sample_weights=weight))
        return torch.cat(out, 1)

    @torch.no_grad()
    def refined(self, side: int) -> "HashGrid":
        """The same table, whose finest grid is fine from the beginning."""
        finer = HashGrid(side)
        finer.load_state_dict(self.state_dict())
        finer.get_buffer("size").fill_(side)
        return finer

    def smooth(self, share: float) -> None:
        """Nothing: neighbours in the table are no neighbours in space."""
