"""The cache of prompt embeddings of captions, beside their pictures: a long training needs each many times.

Encoding would take an eighth of a SANA's step and a third of a small UNet's. The captions of a shard are always encoded
in the same batches, so that a run that is resumed elsewhere reads the same numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.stage import tell
from distill.data.cache import SHARD, Cached, save_array, whole, write
from distill.method import sent
from models.denoiser import Cond

BATCH = 128
Encode = Callable[[list[str]], Cond]


@dataclass(frozen=True)
class Texts:
    """The embedded tokens of all captions of a source, shard by shard."""

    tokens: list[np.ndarray]  # float16 [T, D], caption after caption
    starts: list[np.ndarray]  # index of each caption's first token, and the end of the last
    firsts: list[np.ndarray]  # index of each row's first caption

    def __call__(self, row: int, caption: int) -> np.ndarray:
        """Tokens [L, D] of a row's caption."""
        shard, place = divmod(row, SHARD)
        k = self.firsts[shard][place] + caption
        begin, end = self.starts[shard][k : k + 2]
        return self.tokens[shard][begin:end]


def cond(states: list[np.ndarray], device: torch.device | str = "cpu") -> Cond:
    """Captions of several lengths as one batch, padded to the longest."""
    lengths = np.array([len(one) for one in states])
    tokens = np.zeros((len(states), lengths.max(), states[0].shape[1]), np.float16)
    for row, one in zip(tokens, states, strict=True):
        row[: len(one)] = one
    mask = torch.from_numpy(np.arange(lengths.max()) < lengths[:, None])
    return Cond(sent(torch.from_numpy(tokens), device).float(), sent(mask, device))


def shard_of(captions: list[str], encode: Encode) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and starts of a shard. Captions of similar length are encoded in one batch."""
    order, states = sorted(range(len(captions)), key=lambda i: len(captions[i])), {}
    for i in range(0, len(order), BATCH):
        which = order[i : i + BATCH]
        encoded = encode([captions[k] for k in which])
        both = encoded.tokens.half().cpu().numpy(), encoded.mask.cpu().numpy()  # at once: each copy waits for the GPU
        for k, tokens, mask in zip(which, *both, strict=True):
            states[k] = tokens[mask]
    rows = [states[k] for k in range(len(captions))]
    return np.concatenate(rows), np.cumsum([0, *map(len, rows)])


def texts(part: Cached, home: Path, key: str, encode: Encode, say: Callable[[str], None] = print) -> Texts:
    """The embeddings of a source's captions, encoded where they are not in the cache. `home`: the folder of the
    source's cache. `key`: names the encoder and its padding."""
    made = Texts([], [], [])
    for start in range(0, len(part), SHARD):
        rows = part.captions[start : start + SHARD]
        captions = [text for row in rows for text in row]
        path, places = home / f"text-{key}-{start:07d}.npy", home / f"starts-{key}-{start:07d}.npy"
        if not (whole(places, len(captions) + 1) and whole(path, 1)):
            tell(f"encoding captions of {part.name}", start, len(part))
            say(f"encoding the captions of {part.name} {start:,} to {start + len(rows):,}")
            tokens, starts = shard_of(captions, encode)
            write(path, save_array(tokens))
            write(places, save_array(starts))
        made.tokens.append(np.load(path, mmap_mode="r"))
        made.starts.append(np.load(places))
        made.firsts.append(np.cumsum([0, *map(len, rows)])[:-1])
    return made
