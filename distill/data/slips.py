"""Latents that students of few steps paint, and what their teacher makes of them: what a decoder learns to mend.

A student is asked for a picture at one of its step counts. Its teacher then takes the last of its own steps from there
(`models.batch.refined`), so the picture stays and its blotches go.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.files import whole_file
from core.stage import tell
from distill.data.painted import MOST_STEPS, painters_of, words
from models import batch, catalogue, families
from models.catalogue import Row
from models.families import Parts
from models.painters import base_of

SHARD = 32  # latents that are painted, and stored, together
STEPS, FROM = 12, 0.25  # of the teacher: of all the way, and the time that it begins at


@dataclass(frozen=True)
class Slips:
    painted: Tensor  # by a student, [N, C, h, w] of unit variance
    mended: Tensor  # by its teacher


def draw(autoencoder: Row, n: int, root: Path) -> Slips:
    """`n` pairs, rounded up to whole shards. They are painted once, and kept in the cache folder `root`. Raises
    ValueError where no student of the box paints latents of this autoencoder."""
    rows = painters_of(autoencoder)
    ids = [*(row.id for row in rows), *(base_of(row) for row in rows)]
    digests = [sorted(catalogue.get(id).manifest.files.items()) for id in ids]
    home = root / f"slips-{hashlib.sha256(repr((digests, STEPS, FROM)).encode()).hexdigest()[:10]}"
    home.mkdir(parents=True, exist_ok=True)
    parts, painted, mended = None, [], []
    for start in range(0, n, SHARD):
        path = home / f"{start:06d}.safetensors"
        if not path.is_file():
            tell("painting with students", start, n)
            parts = parts or families.load_all(ids)
            with whole_file(path) as part:
                save_file(shard(rows, parts, start), part)
        kept = load_file(path)
        painted.append(kept["painted"].float())
        mended.append(kept["mended"].float())
    return Slips(torch.cat(painted), torch.cat(mended))


@torch.no_grad()
def shard(rows: list[Row], parts: Mapping[str, Parts], start: int) -> dict[str, Tensor]:
    """Pictures by one student at one of its step counts, and what its teacher makes of them, in half precision."""
    rng = np.random.default_rng([start, 5])
    row = rows[start // SHARD % len(rows)]
    teacher = parts[base_of(row)]
    steps = int(rng.choice([count for count in row.manifest.step_counts if count <= MOST_STEPS]))
    prompts = [words("train", start + k, rng) for k in range(SHARD)]
    seeds = [start + k for k in range(SHARD)]
    z = batch.latents(parts[row.id], prompts, seeds, steps, row.manifest.guidance.default)
    others, guidance = [2**30 + seed for seed in seeds], teacher.row.manifest.guidance.default
    mended = batch.refined(teacher, z, prompts, others, STEPS, FROM, guidance)
    return {"painted": z.half(), "mended": mended.half()}
