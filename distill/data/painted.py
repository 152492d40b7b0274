"""Pictures that the box's models paint, from captions of toys and names of emoji. They are unlabelled and unlimited.

They train networks on our decoders' pictures, such as an enlarger. Each autoencoder makes an equal share, by students
of few steps. New weights of a painter start a new set.
"""

import functools
import hashlib

import numpy as np

from core.paths import assets
from distill.data import Example, Split
from distill.data.toys.captions import captions
from distill.data.toys.scene import scene_at
from models import catalogue, prompt
from models.catalogue import Row
from models.palette import BACKGROUNDS
from models.request import ImageRequest

SIZE, HELD_OUT = 1500, 100
MOST_STEPS = 4


def painters() -> list[list[Row]]:
    """The students of few steps in the box, grouped by autoencoder."""
    box = assets() / "weights"
    by: dict[str, list[Row]] = {}
    for row in catalogue.menu():
        if row.folder and row.folder.parent == box and row.manifest.default_steps <= MOST_STEPS:
            by.setdefault(row.manifest.latents, []).append(row)
    return [by[latents] for latents in sorted(by)]


def painters_of(autoencoder: Row) -> list[Row]:
    """The students of few steps in the box that paint latents of this autoencoder. Raises ValueError for none."""
    for rows in painters():
        if rows[0].manifest.latents == autoencoder.manifest.latents:
            return rows
    raise ValueError(f"no student of the box paints latents of {autoencoder.id}; set slips=0")


def words(split: Split, index: int, rng: np.random.Generator) -> str:
    """A caption of toy scene `index`, or the name of an emoji, each for half of the pictures."""
    if rng.random() < 0.5:
        phrases = captions(scene_at(0, index, split), rng)
        return phrases[int(rng.integers(len(phrases)))]
    names = sorted(set(prompt.names().values()))
    behind = f" on a {list(BACKGROUNDS)[int(rng.integers(len(BACKGROUNDS)))]} background"
    return names[int(rng.integers(len(names)))] + (behind if rng.random() < 0.5 else "")


class Painted:
    """Painted pictures as a source. Example `index` is a function of (split, index) and the painters' weights."""

    name = "painted"

    def __init__(self, split: Split = "train"):
        self.split: Split = split
        self.size = SIZE if split == "train" else HELD_OUT
        self.painters = painters()
        digests = [sorted(row.manifest.files.items()) for rows in self.painters for row in rows]
        self.signature = ("painted", split, digests)

    def __len__(self) -> int:
        return self.size

    @functools.cached_property
    def engine(self):
        from models.engine import Engine

        return Engine("cpu")

    def request(self, index: int) -> ImageRequest:
        rng = np.random.default_rng([self.split == "train", index, 3])
        rows = self.painters[index % len(self.painters)]
        asked = words(self.split, index, rng)
        model = rows[int(rng.integers(len(rows)))].id
        return ImageRequest(prompt=asked, model=model, seed=int(rng.integers(2**31)))

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < self.size:
            raise IndexError(index)
        from models.generate import Image

        request = self.request(index)
        painted = [e for e in self.engine.generate(request) if isinstance(e, Image)]
        picture = np.asarray(painted[0].picture)
        key = hashlib.sha256(picture.tobytes()).hexdigest()
        return Example(picture, (request.prompt,), {"model": request.model, "seed": request.seed}, key)
