"""Every emoji that a person asks for by name, in the words that people use: people, hands and signs beside the things.

The plain name of a person or a hand is the yellow drawing; the five skin tones are captions of their own ("a chef with
dark skin"). Names get more nouns ("a chef" for Unicode's "cook"), plurals, and the colour where one is true of most of
the drawing. What `Emoji` holds out of the same emoji is held out here.
"""

import functools
from pathlib import Path

import numpy as np
from PIL import Image

from distill.data import emoji_words
from distill.data.colour import NAMES, colour_of
from distill.data.emoji import GROUPS, Drawing, Emoji, Entry

SAID = 1  # goes up when the same emoji would be captioned otherwise, so that caches know
COLOURED = 0.3  # of the captions name the colour of a drawing that has one


@functools.cache
def colour_in(path: Path) -> str | None:
    with Image.open(path) as image:
        return colour_of(image.convert("RGBA"))


def coloured(row: dict, path: Path, noun: str) -> str:
    """The colour that may be said before the noun: of skin its tone is said alone, of two things in one none."""
    colours = set(noun.replace("-", " ").split()) & {*NAMES, "gold", "silver"}
    return "" if colours or row["group"] == "people" or emoji_words.TAIL.search(noun) else colour_in(path) or ""


class Words(Emoji):
    name, groups = "words", (*GROUPS, "people", "signs")
    nouns, wordings = staticmethod(emoji_words.more_nouns), staticmethod(emoji_words.more_wordings)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.signature += (SAID,)

    def drawing(self, entry: Entry, rng: np.random.Generator) -> Drawing:
        """The yellow one half the time, where there are skin tones."""
        plain = [d for d in entry.drawings if d.tone is None]
        among = plain if plain and rng.random() < 0.5 else entry.drawings
        return among[rng.integers(len(among))]

    def _noun(self, row: dict, rng: np.random.Generator) -> int:
        return 0 if rng.random() < 0.5 else int(rng.integers(len(self.nouns(row))))

    def _adjective(self, row: dict, drawing: Drawing, noun: str, rng: np.random.Generator) -> str:
        return coloured(row, drawing.path, noun) if rng.random() < COLOURED else ""
