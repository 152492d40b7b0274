"""The cache of sources: pictures in shards of 2,000, with the latents of each autoencoder beside them.

A source of n pictures is a prefix of any longer one, so a cache only grows. Shards appear whole (temporary file,
rename) and are read as memory maps.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.files import whole_file
from core.stage import tell
from distill.data import Source

SHARD = 2000
OFTEN = 50  # pictures at a time, after which the progress is reported


@dataclass(frozen=True)
class Cached:
    """Pictures uint8 [N, H, W, 3] or latents [N, C, h, w] of one source, with captions and true attributes."""

    name: str
    arrays: list[np.ndarray]
    captions: list[list[str]]
    attributes: list[dict]
    conditions: tuple[np.ndarray, ...] = ()  # uint8 [N, H, W, 3], of a source that is `steered`

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.arrays[index // SHARD][index % SHARD]


def write(path: Path, save: Callable[[Path], object]) -> None:
    with whole_file(path) as part:
        save(part)


def save_array(array: np.ndarray) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        with path.open("wb") as f:
            np.save(f, array)

    return save


def whole(path: Path, n: int) -> bool:
    """Whether the file is a complete array of at least n rows; a torn file is not, and is made again."""
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
    """The cache folder of a source, named by its `signature`, so that a change of the source starts a new one."""
    digest = hashlib.sha256(repr(getattr(source, "signature", source.name)).encode()).hexdigest()[:10]
    return root / f"{source.name}-{digest}"


def draw(source: Source, root: Path, say: Callable[[str], None] = print) -> Cached:
    """Every picture of the source; missing shards are drawn."""
    home = folder(source, root)
    home.mkdir(parents=True, exist_ok=True)
    steered = getattr(source, "steered", False)
    arrays, captions, attributes, conditions = [], [], [], []
    for start in range(0, len(source), SHARD):
        pictures, facts = home / f"pictures-{start:07d}.npy", home / f"facts-{start:07d}.json"
        n, steering = min(SHARD, len(source) - start), home / f"conditions-{start:07d}.npy"
        if len(facts_in(facts)) < n or not whole(pictures, n) or steered and not whole(steering, n):
            say(f"drawing {source.name} {start:,} to {start + n:,} of {len(source):,}")
            examples = []
            for i in range(start, start + n):
                if i % OFTEN == 0:
                    tell(f"drawing {source.name}", i, len(source))
                examples.append(source[i])
            write(pictures, save_array(np.stack([e.picture for e in examples])))
            if steered:
                write(steering, save_array(np.stack([e.conditions for e in examples])))
            text = json.dumps([{"captions": e.captions, "attributes": e.attributes} for e in examples])
            write(facts, lambda p, text=text: p.write_text(text))
        rows = facts_in(facts)[:n]
        arrays.append(np.load(pictures, mmap_mode="r")[:n])
        conditions += [np.load(steering, mmap_mode="r")[:n]] if steered else []
        captions += [r["captions"] for r in rows]
        attributes += [r["attributes"] for r in rows]
    return Cached(source.name, arrays, captions, attributes, tuple(conditions))


def latents(
    source: Source, root: Path, key: str, encode: Callable[[np.ndarray], np.ndarray], say: Callable[[str], None] = print
) -> Cached:
    """The latents of every picture, by the autoencoder whose weights have the hash `key`.

    encode: uint8 [B, H, W, 3] -> [B, C, h, w].
    """
    return answers(source, root, f"latents-{key[:10]}", "encoding", lambda x: encode(x).astype(np.float16), say)


def answers(
    source: Source,
    root: Path,
    name: str,
    doing: str,
    answer: Callable[[np.ndarray], np.ndarray],
    say: Callable[[str], None] = print,
) -> Cached:
    """A network's output for every picture of the source, cached under this name.

    answer: uint8 [B, H, W, 3] -> [B, …].
    """
    pictures = draw(source, root, say)
    home = folder(source, root)
    arrays = []
    for start, shard in zip(range(0, len(pictures), SHARD), pictures.arrays, strict=True):
        path = home / f"{name}-{start:07d}.npy"
        if not whole(path, len(shard)):
            say(f"{doing} {source.name} {start:,} to {start + len(shard):,}")
            rows = []
            for i in range(0, len(shard), OFTEN):
                tell(f"{doing} {source.name}", start + i, len(pictures))
                rows.append(answer(np.asarray(shard[i : i + OFTEN])))
            write(path, save_array(np.concatenate(rows)))
        arrays.append(np.load(path, mmap_mode="r")[: len(shard)])
    return replace(pictures, arrays=arrays)
