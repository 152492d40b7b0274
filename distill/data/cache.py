"""Sources drawn once and kept: pictures in shards of 2,000, and the latents of one autoencoder beside them.

A source of n pictures is a prefix of one of more, so a cache only ever grows. Shards appear whole (temporary file,
rename) and are read as memory maps.
"""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from distill.data import Example, Source

SHARD = 2000
MANY = 1000  # pictures from which on processes, which take seconds to start, draw faster than one


@dataclass(frozen=True)
class Cached:
    """Pictures uint8 [N, H, W, 3] or latents [N, C, h, w] of one source, with what is true of each."""

    name: str
    arrays: list[np.ndarray]
    captions: list[list[str]]
    attributes: list[dict]

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.arrays[index // SHARD][index % SHARD]


def write(path: Path, save: Callable[[Path], object]) -> None:
    tmp = path.with_name(f".{os.getpid()}-{path.name}")
    save(tmp)
    tmp.rename(path)


def save_array(array: np.ndarray) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        with path.open("wb") as f:
            np.save(f, array)

    return save


def whole(path: Path, n: int) -> bool:
    """Whether an array of n rows or more lies there: a torn file is none, and is made again."""
    try:
        return len(np.load(path, mmap_mode="r")) >= n
    except (OSError, EOFError, ValueError):
        return False


def facts_in(path: Path) -> list[dict]:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return []


def folder(source: Source, root: Path) -> Path:
    """A source's cache is named by what it is: a change of its `signature` starts a new one."""
    digest = hashlib.sha256(repr(getattr(source, "signature", source.name)).encode()).hexdigest()[:10]
    return root / f"{source.name}-{digest}"


@contextmanager
def drawing(source: Source, n: int) -> Iterator[Callable[[range], list[Example]]]:
    """What draws the rows of a source: where there are many (`n`), as many processes as torch may use threads."""
    if n < MANY:
        yield lambda rows: [source[i] for i in rows]
        return
    spawn = multiprocessing.get_context("spawn")  # a fork may hang on a lock that one of torch's threads held
    with ProcessPoolExecutor(torch.get_num_threads(), spawn) as pool:
        yield lambda rows: list(pool.map(source.__getitem__, rows, chunksize=20))


def draw(source: Source, root: Path, say: Callable[[str], None] = print) -> Cached:
    """Every picture of the source, drawing the shards that are missing."""
    home = folder(source, root)
    home.mkdir(parents=True, exist_ok=True)
    shards = [range(start, min(start + SHARD, len(source))) for start in range(0, len(source), SHARD)]
    facts = {rows: home / f"facts-{rows.start:07d}.json" for rows in shards}
    pictures = {rows: home / f"pictures-{rows.start:07d}.npy" for rows in shards}
    told = {rows: facts_in(path) for rows, path in facts.items()}
    missing = [rows for rows in shards if len(told[rows]) < len(rows) or not whole(pictures[rows], len(rows))]
    with drawing(source, sum(map(len, missing))) as drawn:
        for rows in missing:
            say(f"drawing {source.name} {rows.start:,} to {rows.stop:,} of {len(source):,}")
            examples = drawn(rows)
            write(pictures[rows], save_array(np.stack([e.picture for e in examples])))
            text = json.dumps([{"captions": e.captions, "attributes": e.attributes} for e in examples])
            write(facts[rows], lambda p, text=text: p.write_text(text))
            told[rows] = facts_in(facts[rows])
    arrays, captions, attributes = [], [], []
    for rows in shards:
        found = told[rows][: len(rows)]
        arrays.append(np.load(pictures[rows], mmap_mode="r")[: len(rows)])
        captions += [r["captions"] for r in found]
        attributes += [r["attributes"] for r in found]
    return Cached(source.name, arrays, captions, attributes)


def latents(
    source: Source, root: Path, key: str, encode: Callable[[np.ndarray], np.ndarray], say: Callable[[str], None] = print
) -> Cached:
    """The source through an autoencoder with this hash of its weights. encode: uint8 [B, H, W, 3] -> [B, C, h, w]."""
    pictures = draw(source, root, say)
    home = folder(source, root)
    arrays = []
    for start, shard in zip(range(0, len(pictures), SHARD), pictures.arrays, strict=True):
        path = home / f"latents-{key[:10]}-{start:07d}.npy"
        if not whole(path, len(shard)):
            say(f"encoding {source.name} {start:,} to {start + len(shard):,}")
            z = [encode(np.asarray(shard[i : i + 50])) for i in range(0, len(shard), 50)]
            write(path, save_array(np.concatenate(z).astype(np.float16)))
        arrays.append(np.load(path, mmap_mode="r")[: len(shard)])
    return Cached(source.name, arrays, pictures.captions, pictures.attributes)
