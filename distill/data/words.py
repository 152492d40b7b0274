"""The data set `words`: emoji with people, hands and signs, captioned in the words that people use.

A plain caption of a person or a hand has the yellow drawing; the five skin tones have captions of their own ("a chef
with dark skin"). Captions use more nouns ("a chef" for Unicode's "cook"), plurals, and the colour where one covers most
of the drawing. Everything that `Emoji` holds out of the same emoji is held out here too.
"""

import functools
from pathlib import Path

import numpy as np
from PIL import Image

from distill.data import emoji_words
from distill.data.colour import NAMES, colour_of
from distill.data.emoji import GROUPS, Drawing, Emoji, Entry

SAID = 1  # to be raised when the captions of an emoji change, so that caches start anew
COLOURED = 0.3  # share of the captions that name a drawing's colour, where it has one


@functools.cache
def colour_in(path: Path) -> str | None:
    with Image.open(path) as image:
        return colour_of(image.convert("RGBA"))


def coloured(row: dict, path: Path, noun: str) -> str:
    """The colour word to put before the noun; empty for people, who have skin tones, for two things in one drawing, and
    where the noun has a colour already."""
    colours = set(noun.replace("-", " ").split()) & {*NAMES, "gold", "silver"}
    return "" if colours or row["group"] == "people" or emoji_words.TAIL.search(noun) else colour_in(path) or ""


class Words(Emoji):
    name, groups = "words", (*GROUPS, "people", "signs")
    nouns, wordings = staticmethod(emoji_words.more_nouns), staticmethod(emoji_words.more_wordings)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.signature += (SAID,)

    def drawing(self, entry: Entry, rng: np.random.Generator) -> Drawing:
        """A drawing of the emoji; where it has skin tones, the yellow one half of the time."""
        plain = [d for d in entry.drawings if d.tone is None]
        among = plain if plain and rng.random() < 0.5 else entry.drawings
        return among[rng.integers(len(among))]

    def _noun(self, row: dict, rng: np.random.Generator) -> int:
        return 0 if rng.random() < 0.5 else int(rng.integers(len(self.nouns(row))))

    def _adjective(self, row: dict, drawing: Drawing, noun: str, rng: np.random.Generator) -> str:
        return coloured(row, drawing.path, noun) if rng.random() < COLOURED else ""
