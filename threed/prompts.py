"""From a person's prompt to the teacher's: one large thing on a background of another colour.

Where a prompt leaves out size, pattern or background, a toybox teacher chooses them at random, and no two pictures
would agree. So the teacher's prompt names them. No torch here.
"""

import re
from dataclasses import dataclass

import numpy as np

from models.palette import BACKGROUNDS, COLOURS
from models.views import PHRASES

OTHER_NAMES = {"turquoise": "teal", "violet": "purple", "gray": "grey"}
APART = 0.3  # least difference between background and thing, in the channel that differs most
PALE = ("white", "grey", "blue")  # backgrounds that look like windows and eyes
TOYS = frozenset(
    "ball sphere cube box cone cylinder ring torus pyramid egg mug cup bottle teapot house cottage tree mushroom "
    "toadstool car boat ship rocket spaceship aeroplane plane airplane chair table sofa couch lamp hat key snowman "
    "robot bird fish".split()
)
WORD = re.compile(r"[a-z]+")
GROUND = re.compile(
    r",? *(?:\b(?:on|against) (?:an? )?)?\b\w+ background|,? *\b(?:on|against) an? plain background", re.I
)
VIEW = re.compile("|".join(rf",? *\b{p}\b" for phrases in PHRASES.values() for p in phrases), re.I)
ARTICLE = re.compile(r"^(an?|the|one) ", re.I)
SAID = frozenset("big large small little tiny plain striped stripy dotted spotted".split())


@dataclass(frozen=True)
class Background:
    name: str
    colour: tuple[float, float, float]  # in [0, 1]


def bare(prompt: str) -> str:
    """The prompt without background and view, which the camera chooses."""
    return VIEW.sub("", GROUND.sub("", prompt)).strip(" ,.")


def has_views(prompt: str) -> bool:
    """Whether it names a kind of toy, which a toybox teacher has seen from all sides. Emoji have only a front."""
    words = WORD.findall(prompt.lower())
    return any(w in TOYS or w.removesuffix("s") in TOYS for w in words)


def backgrounds(prompt: str) -> list[Background]:
    """The backgrounds that differ from every colour of the prompt, without pale ones where there are enough others."""
    words = [OTHER_NAMES.get(w, w) for w in WORD.findall(bare(prompt).lower())]
    named = [np.array(COLOURS[w]) / 255 for w in words if w in COLOURS]
    out = []
    for name, colour in BACKGROUNDS.items():
        c = np.array(colour) / 255
        if all(np.abs(c - other).max() > APART for other in named):
            out.append(Background(name, (float(c[0]), float(c[1]), float(c[2]))))
    vivid = [b for b in out if b.name not in PALE]
    return vivid if len(vivid) >= 2 else out


def completed(prompt: str, background: str, view: str | None) -> str:
    """The teacher's prompt: "a red mug" gives "a big plain red mug on a yellow background, side view"."""
    thing = bare(prompt)
    if has_views(thing) and not SAID & set(WORD.findall(thing.lower())):
        thing = "a big plain " + ARTICLE.sub("", thing)
    return f"{thing} on a {background} background" + (f", {PHRASES[view][0]}" if view else "")
