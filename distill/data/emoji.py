"""Fluent 3D emoji on white and on the toys' backgrounds, captioned with the names that people use.

    python -m distill.data.emoji                       fetch them (`make data`)
    python -m distill.data.emoji --preview grid.png    draw a captioned grid

A generator trains on every emoji, always at the same place: latents are 16 pixels wide, so a shift by a few pixels
gives quite different latents, and learning shifts took most of the training. It is tested with other wordings, and with
one background for each emoji that it never trained on. The emoji judge trains on every emoji too (`hold="wordings"`).
An autoencoder sees them shifted, and a tenth of the pictures is held out by content (`hold="pictures"`).
"""

import argparse
import functools
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from distill.data import SIDE, Example, emoji_words, sources
from distill.data.emoji_fetch import fetch, home, ready
from distill.data.preview import grid
from models.palette import BACKGROUNDS

DRAWING = 3  # to be raised when the picture of an index changes, so that caches start anew
FILL, SHIFT = (0.85, 0.92), 5  # share of the frame's side; pixels off its centre
GROUPS = ("smileys", "nature", "foods", "activity", "places", "objects")
COLOURED = [name for name in BACKGROUNDS if name != "white"]
CAPTIONS = 6  # wordings of an example


@dataclass(frozen=True)
class Drawing:
    """One picture file, with its key: the sha256 of the file's bytes."""

    path: Path
    codepoint: str
    tone: str | None
    key: str


@dataclass(frozen=True)
class Entry:
    row: dict
    drawings: tuple[Drawing, ...]


def picture_split(key: str) -> Literal["train", "held_out"]:
    """The split of a picture: a tenth is held out, by the picture's hash."""
    return "held_out" if int(key[:8], 16) % 10 == 0 else "train"


def read_rows(folder: Path, groups: tuple[str, ...]) -> list[dict]:
    if not ready(folder):
        raise FileNotFoundError("the emoji are not on this machine yet, or not all: `make data` fetches them")
    rows = json.loads((folder / "index.json").read_text(encoding="utf-8"))["emoji"]
    return [row for row in rows if row["group"] in groups]


def drawings_of(row: dict, folder: Path, look: str) -> list[Drawing]:
    suffix = {"fluent": ".webp", "noto": ".png"}[look]
    out = []
    for p in row["pictures"]:
        path = folder / look / (p["codepoint"] + suffix)
        if look == "fluent" or p["noto"]:
            out.append(Drawing(path, p["codepoint"], p["tone"], hashlib.sha256(path.read_bytes()).hexdigest()))
    return out


@functools.lru_cache(maxsize=64)
def cut_out(path: Path) -> Image.Image:
    """The drawing, cropped to its content."""
    with Image.open(path) as image:
        picture = image.convert("RGBA")
    return picture.crop(picture.getchannel("A").getbbox())


def scaled(path: Path, longer: float) -> Image.Image:
    """The cropped drawing, resized so that its longer side has `longer` pixels."""
    drawing = cut_out(path)
    scale = longer / max(drawing.size)
    w, h = (max(1, round(side * scale)) for side in drawing.size)
    return drawing.resize((w, h), Image.Resampling.LANCZOS)  # Pillow premultiplies alpha, so there is no dark rim


def compose(path: Path, background: tuple[int, int, int], fill: float, shift: tuple[float, float]) -> np.ndarray:
    """The drawing on a background, uint8 [SIDE, SIDE, 3]. Its longer side is `fill` of the frame's. `shift` is in
    pixels, as far as the drawing stays inside the frame."""
    drawing = scaled(path, fill * SIDE)
    ends = zip(drawing.size, shift, strict=True)
    x, y = (min(max(round((SIDE - side) / 2 + s), 0), SIDE - side) for side, s in ends)
    frame = Image.new("RGB", (SIDE, SIDE), background)
    frame.paste(drawing, (x, y), drawing)
    return np.asarray(frame)


class Emoji:
    """Emoji as a source. Example `index` is a function of (seed, index): every emoji comes once before any comes again,
    half of the time on white."""

    name, groups = "emoji", GROUPS
    nouns, wordings = staticmethod(emoji_words.nouns), staticmethod(emoji_words.wordings)

    def __init__(
        self,
        split: Literal["train", "held_out"] = "train",
        size: int | None = None,
        seed: int = 0,
        hold: Literal["wordings", "pictures"] = "wordings",
        look: Literal["fluent", "noto"] = "fluent",
        folder: Path | None = None,
    ):
        self.split, self.seed, self.hold = split, seed, hold
        folder = folder or home()
        rows = read_rows(folder, self.groups)
        self.emoji = [e for row in rows if (e := self._kept(row, drawings_of(row, folder, look))).drawings]
        self.size = 12 * len(self.emoji) if size is None else size
        keys = [d.key for e in self.emoji for d in e.drawings]
        content = hashlib.sha256("".join(keys).encode()).hexdigest()[:12]
        people = "people" in self.groups
        self.signature = (self.name, DRAWING, split, seed, people, hold, look, content)

    def _kept(self, row: dict, drawings: list[Drawing]) -> Entry:
        by_picture = self.hold == "pictures"
        return Entry(row, tuple(d for d in drawings if not by_picture or picture_split(d.key) == self.split))

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < self.size:
            raise IndexError(index)
        turn, place = divmod(index, len(self.emoji))
        order = np.random.default_rng([self.seed, turn]).permutation(len(self.emoji))
        entry = self.emoji[order[place]]
        rng = np.random.default_rng([self.seed, index, 1])
        drawing = self.drawing(entry, rng)
        background = self._background(entry.row, rng)
        fill, shift = self._place(rng)
        picture = compose(drawing.path, BACKGROUNDS[background], fill, shift)
        attributes = {
            "emoji": entry.row["name"],
            "group": entry.row["group"],
            "background": background,
            "codepoint": drawing.codepoint,
            "tone": drawing.tone,
        }
        return Example(picture, self._captions(entry.row, drawing, background, rng), attributes, drawing.key)

    def drawing(self, entry: Entry, rng: np.random.Generator) -> Drawing:
        return entry.drawings[rng.integers(len(entry.drawings))]

    def _noun(self, row: dict, rng: np.random.Generator) -> int:
        """The index of the noun in the plainest caption."""
        return 0

    def _adjective(self, row: dict, drawing: Drawing, noun: str, rng: np.random.Generator) -> str:
        return ""

    def _background(self, row: dict, rng: np.random.Generator) -> str:
        if self.hold == "pictures":
            return str(rng.choice(COLOURED)) if rng.random() < 0.5 else "white"
        held = emoji_words.held_out_background(row["name"], COLOURED)
        if self.split == "held_out":
            return held
        return str(rng.choice([b for b in COLOURED if b != held])) if rng.random() < 0.5 else "white"

    def _place(self, rng: np.random.Generator) -> tuple[float, tuple[float, float]]:
        """The share of the frame's side, and the shift off the frame's centre in pixels."""
        if self.hold == "wordings":
            return sum(FILL) / 2, (0.0, 0.0)
        return rng.uniform(*FILL), tuple(rng.uniform(-SHIFT, SHIFT, 2))

    def _captions(self, row: dict, drawing: Drawing, background: str, rng: np.random.Generator) -> tuple[str, ...]:
        """Wordings of this split. Those for training begin with the plainest, and a third of them name the
        background."""
        trained, held = self.wordings(row)
        pairs = held if self.split == "held_out" and self.hold == "wordings" else trained
        chosen = [pairs[i] for i in rng.integers(len(pairs), size=CAPTIONS)]
        if pairs is trained:
            chosen[:2] = [(template, self._noun(row, rng)) for template in emoji_words.PLAIN]
        known = [*row["keywords"], emoji_words.GROUP_WORD[row["group"]]]
        out = []
        for template, which in chosen:
            noun = emoji_words.toned(self.nouns(row)[which], drawing.tone, rng.random())
            words = [known[i] for i in rng.permutation(len(known))[:2]]
            behind = background if rng.random() < (0.5 if background != "white" else 0.2) else None
            place = int(rng.integers(len(emoji_words.ON_BACKGROUND)))
            adjective = self._adjective(row, drawing, noun, rng)
            out.append(emoji_words.say(template, noun, words, behind, place, adjective))
        return tuple(dict.fromkeys(out))


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser("distill.data.emoji", description=__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("--preview", type=Path, metavar="FILE", help="draw a captioned grid into this file")
    p.add_argument("--n", type=int, default=64)
    p.add_argument("--start", type=int, default=0, metavar="INDEX", help="index of the first picture")
    p.add_argument("--split", choices=("train", "held_out"), default="train")
    p.add_argument("--of", choices=("emoji", "words", "pairs"), default="emoji", help="the part of a data set")
    args = p.parse_args(argv)
    try:
        folder = fetch()
    except RuntimeError as e:
        print(f"distill.data.emoji: {e}", file=sys.stderr)
        return 2
    source = sources(args.of, args.split)[0]
    print(f"{len(source):,} pictures of {args.of}, from {folder}")
    if args.preview:
        grid([source[i] for i in range(args.start, args.start + args.n)], args.preview)
    return 0


if __name__ == "__main__":
    sys.exit(main())
