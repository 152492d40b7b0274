"""From what a person asks for to what the teacher is asked: one thing, large, on a background that can be told from it.

A toybox teacher paints sizes, patterns and backgrounds as it likes where a prompt leaves them out, and no two pictures
would agree; so they are said. Free of torch.
"""

import re
from dataclasses import dataclass

import numpy as np

from models.palette import BACKGROUNDS, COLOURS
from models.views import PHRASES

OTHER_NAMES = {"turquoise": "teal", "violet": "purple", "gray": "grey"}
APART = 0.3  # least difference of a background from the thing, in its furthest channel
PALE = ("white", "grey", "blue")  # backgrounds that windows and eyes look like
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
    """The thing alone: backgrounds and views are the camera's business."""
    return VIEW.sub("", GROUND.sub("", prompt)).strip(" ,.")


def has_views(prompt: str) -> bool:
    """Whether it names a thing that a toybox teacher has seen from all sides. Its emoji have only a front."""
    words = WORD.findall(prompt.lower())
    return any(w in TOYS or w.removesuffix("s") in TOYS for w in words)


def backgrounds(prompt: str) -> list[Background]:
    """Those that every colour of the prompt can be told from; pale ones last, where others are enough."""
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
    """ "a red mug" -> "a big plain red mug on a yellow background, side view"."""
    thing = bare(prompt)
    if has_views(thing) and not SAID & set(WORD.findall(thing.lower())):
        thing = "a big plain " + ARTICLE.sub("", thing)
    return f"{thing} on a {background} background" + (f", {PHRASES[view][0]}" if view else "")
