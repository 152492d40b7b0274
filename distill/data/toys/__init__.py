"""Toys: procedural scenes with their pictures, captions and all true attributes."""

import hashlib

import numpy as np

from distill.data import Example
from distill.data.toys.captions import captions, prompt, questions, truth, vocabulary
from distill.data.toys.render import render
from distill.data.toys.scene import Scene, Thing, sample_scene, scene_at

LOOKS = 2  # to be raised when pictures or captions change, so that caches start anew
SPLITS = ("train", "held_out")


class Toys:
    """`size` scenes of a split. Each is a function of (seed, index), so a longer set starts with a shorter one.

    The split depends on the hash of all that words can say of a scene (`Scene.split`): for every seed, 1 combination in
    20 is held out.
    """

    def __init__(self, seed: int = 0, split: str = "train", size: int = 100_000, mini: bool = False):
        if split not in SPLITS:
            raise ValueError(f"split {split!r}; valid: {', '.join(SPLITS)}")
        if size < 1 or seed < 0:
            raise ValueError(f"size {size} and seed {seed}: a set holds at least one scene, and seeds start at 0")
        self.name = "mini" if mini else "toys"
        self.seed, self.split, self.size, self.mini = seed, split, size, mini

    @property
    def signature(self) -> tuple:
        """Everything that the examples depend on, except their number."""
        return self.name, LOOKS, self.seed, self.split

    def __len__(self) -> int:
        return self.size

    def scene(self, index: int) -> Scene:
        if not 0 <= index < self.size:
            raise IndexError(f"scene {index} of {self.size}")
        return scene_at(self.seed, index, self.split, mini=self.mini)

    def __getitem__(self, index: int) -> Example:
        scene = self.scene(index)
        picture = render(scene)
        words = captions(scene, np.random.default_rng([self.seed, index, 1 << 20]))
        key = hashlib.sha256(picture.tobytes()).hexdigest()
        return Example(picture, words, scene.attributes(), key)


__all__ = [
    "Scene", "Thing", "Toys", "captions", "prompt", "questions", "render", "sample_scene", "scene_at", "truth",
    "vocabulary",
]  # fmt: skip
