"""Pictures of two things with their colours and places, which generators learn last.

Even pictures show two toys. Odd ones show two emoji, side by side or one above the other, so that places are learnt
outside toys as well. Every caption names both things, and both colours of toys. One combination in 20 is held out. An
emoji never stands on the background that `Emoji` holds out for it.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from distill.data import OFTEN, PAIR, SIDE, Example, Hold, Split, emoji_words
from distill.data.emoji import COLOURED, Drawing, Entry, scaled
from distill.data.toys import LOOKS, prompt, render
from distill.data.toys.captions import RELATION_WORDS
from distill.data.toys.scene import HELD_OUT, Scene, scene_at
from distill.data.words import Words, coloured
from models.palette import BACKGROUNDS

PLACING = 1  # to be raised when the picture or caption of an index changes, so that caches start anew
SIZE = 16_000
CELL, FILL = SIDE // 2, 60  # pixels: the side of an emoji's square, and the longer side of the emoji in it
BESIDE = ("and", "next to", "beside")  # the thing that is named first is on the left
PLACES = {
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
TURNED = {"left of": "right of", "above": "below"}
CORNERS = {"left of": ((0, CELL // 2), (CELL, CELL // 2)), "above": ((CELL // 2, 0), (CELL // 2, CELL))}


def split_of(first: str, place: str, second: str) -> Split:
    """The split of a combination, by the hash of "the first is `place` (left of, above) the second"."""
    digest = hashlib.sha256("\0".join((first, place, second)).encode()).digest()
    return "train" if int.from_bytes(digest[:8]) % HELD_OUT else "held_out"


def from_the_left(scene: Scene) -> Scene:
    """The same scene, described from left to right."""
    if scene.relation != "right of":
        return scene
    return replace(scene, things=scene.things[::-1], relation="left of")


def toy_captions(scene: Scene, rng: np.random.Generator) -> tuple[str, ...]:
    """Captions with both colours. Two toys side by side also get one without a relation: "a red cube and a blue
    ball"."""
    plain = all(thing.pattern == "plain" for thing in scene.things)
    some = ["background"] if rng.random() < 0.5 else []
    most = ["background", "view"] if plain else ["background", "pattern", "view"]
    captions = [prompt(scene, ["colour", *names], rng) for names in ([], some, most)]
    if scene.relation in ("left of", "right of"):
        beside = prompt(from_the_left(scene), ["colour", *some])
        captions.append(beside.replace(RELATION_WORDS["left of"][0], BESIDE[rng.integers(len(BESIDE))], 1))
    return tuple(dict.fromkeys(captions))


def side_by_side(drawings: tuple[Path, Path], place: str, background: tuple[int, int, int]) -> np.ndarray:
    """The first drawing `place` the second, uint8 [SIDE, SIDE, 3], each centred in a square of a quarter of the
    area."""
    frame = Image.new("RGB", (SIDE, SIDE), background)
    for path, (x, y) in zip(drawings, CORNERS[place], strict=True):
        drawing = scaled(path, FILL)
        w, h = drawing.size
        frame.paste(drawing, (x + (CELL - w) // 2, y + (CELL - h) // 2), drawing)
    return np.asarray(frame)


class Pairs:
    """Pairs as a source. Example `index` is a function of (seed, index): toys where it is even, emoji where it is
    odd."""

    name = "pairs"

    def __init__(
        self,
        split: Split = "train",
        size: int = SIZE,
        seed: int = 0,
        hold: Hold = "wordings",
        folder: Path | None = None,
    ):
        self.split, self.size, self.seed = split, size, seed
        words = Words(split, hold=hold, folder=folder)
        self.emoji = words.emoji
        self.first = [e for e in self.emoji if e.row["group"] in OFTEN]  # emoji that people type first
        self.draw = words.drawing
        self.signature = ("pairs", PLACING, LOOKS, split, seed, words.signature)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < self.size:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, index, 2])
        return self._emoji(rng) if index % 2 else self._toys(index, rng)

    def _toys(self, index: int, rng: np.random.Generator) -> Example:
        scene = scene_at(self.seed, index, self.split, group="relation")
        picture = render(scene)
        key = hashlib.sha256(picture.tobytes()).hexdigest()
        return Example(picture, toy_captions(scene, rng), scene.attributes(), key)

    def _two(self, rng: np.random.Generator) -> tuple[Entry, str, Entry]:
        """Two emoji of the split, the first left of or above the second. Half of them are of the groups that people
        type first."""
        while True:
            among = (self.first if self.first and rng.random() < 0.5 else self.emoji for _ in range(2))
            a, b = (entries[rng.integers(len(entries))] for entries in among)
            place = "left of" if rng.random() < 0.75 else "above"
            if a is not b and split_of(a.row["name"], place, b.row["name"]) == self.split:
                return a, place, b

    def _emoji(self, rng: np.random.Generator) -> Example:
        a, place, b = self._two(rng)
        things = [(entry, self.draw(entry, rng)) for entry in (a, b)]
        held = {emoji_words.held_out_background(entry.row["name"], COLOURED) for entry in (a, b)}
        free = [name for name in COLOURED if name not in held]
        background = free[rng.integers(len(free))] if rng.random() < 0.5 else "white"
        first, second = (drawing for _, drawing in things)
        picture = side_by_side((first.path, second.path), place, BACKGROUNDS[background])
        truth = {"group": PAIR, "first": a.row["name"], "place": place, "second": b.row["name"]}
        truth |= {"background": background, "tones": [first.tone, second.tone]}
        captions = self._captions(things, place, background, rng)
        return Example(picture, captions, truth, hashlib.sha256(picture.tobytes()).hexdigest())

    def _captions(
        self, things: list[tuple[Entry, Drawing]], place: str, background: str, rng: np.random.Generator
    ) -> tuple[str, ...]:
        """Captions without a relation (for two side by side), with it, with the inverse one, and with the
        background."""

        def called(which: int) -> str:
            entry, drawing = things[which]
            nouns = emoji_words.more_nouns(entry.row)
            noun = nouns[0 if rng.random() < 0.6 else rng.integers(len(nouns))]
            colour = coloured(entry.row, drawing.path, noun) if rng.random() < 0.3 else ""
            return emoji_words.with_article(emoji_words.toned(noun, drawing.tone, rng.random()), colour)

        def caption(words: tuple[str, ...], first: int = 0) -> str:
            return f"{called(first)} {words[rng.integers(len(words))]} {called(1 - first)}"

        plain = BESIDE if place == "left of" else PLACES[place]
        behind = emoji_words.ON_BACKGROUND[rng.integers(len(emoji_words.ON_BACKGROUND))].format(b=background)
        captions = [caption(plain), caption(PLACES[place]), caption(PLACES[TURNED[place]], first=1)]
        captions.append(f"{caption((*plain, *PLACES[place]))} {behind}")
        return tuple(dict.fromkeys(captions))
