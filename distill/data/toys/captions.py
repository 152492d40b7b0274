"""Captions of scenes: a small grammar with synonyms and optional parts. Captions are always true.

A caption always names the kinds, the count (of several) and the relation (of two). Colour, pattern, size, background
and view are optional. `prompt` names exactly the given attributes (`truth` gives their values), `captions` chooses them
at random, `questions` makes prompts for benchmarks.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from distill.data.toys.scene import Scene, Thing, scene_at
from models.law import KIND_WORDS
from models.palette import BACKGROUNDS
from models.views import PHRASES

Rng = np.random.Generator | None

NAMES = ("colour", "pattern", "size", "background", "view")
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red",),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "teal": ("teal", "turquoise"),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
    "pink": ("pink",),
    "brown": ("brown",),
    "white": ("white",),
    "grey": ("grey", "gray"),
    "black": ("black",),
}
PATTERN_WORDS = {"plain": ("plain",), "striped": ("striped", "stripy"), "dotted": ("dotted", "spotted", "polka-dot")}
PATTERN_TAILS = {"striped": ("with stripes",), "dotted": ("with dots", "with spots")}
SIZE_WORDS = {"big": ("big", "large"), "small": ("small", "little", "tiny")}
NUMBERS = {2: "two", 3: "three", 4: "four"}
RELATION_WORDS: dict[str, tuple[str, ...]] = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "in front of": ("in front of",),
    "on": ("on", "on top of"),
}


def _one(rng: Rng, words: Sequence) -> Any:
    """The first wording half of the time, else any of them; without an rng always the first."""
    if rng is None:
        return words[0]
    return words[0] if rng.random() < 0.5 else words[int(rng.integers(len(words)))]


def _article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _noun(thing: Thing, count: int, size: str | None, names: Collection[str], rng: Rng) -> str:
    """A noun phrase: "a small striped red mug", "two teal robots", "a red mug with stripes"."""
    words, tail = [], ""
    if "size" in names and size:
        words.append(_one(rng, SIZE_WORDS[size]))
    if "pattern" in names and rng is not None and thing.pattern in PATTERN_TAILS and rng.random() < 0.25:
        tail = " " + _one(rng, PATTERN_TAILS[thing.pattern])
    elif "pattern" in names:
        words.append(_one(rng, PATTERN_WORDS[thing.pattern]))
    if "colour" in names:
        words.append(_one(rng, COLOUR_WORDS[thing.colour]))
    words.append(_one(rng, KIND_WORDS[thing.kind])[count > 1])
    phrase = " ".join(words) + tail
    return f"{NUMBERS[count]} {phrase}" if count > 1 else _article(phrase)


def _background(background: str, rng: Rng) -> str:
    colour = _one(rng, COLOUR_WORDS[background])
    form = _one(rng, ("on a {} background", "against a {} background", "{} background", "on {}"))
    return (", " if form.startswith("{") else " ") + form.format(colour)


def prompt(scene: Scene, names: Collection[str], rng: Rng = None) -> str:
    """A caption that names kinds, count, relation and exactly the attributes in `names` (of colour, pattern, size,
    background, view). Raises ValueError for others.

    Wordings are drawn from rng; without one they are the usual ones ("a red cube"). Several things have no size.
    """
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise ValueError(f"cannot name {', '.join(unknown)}; valid: {', '.join(NAMES)}")
    first, alike = scene.things[0], 1 if scene.relation else scene.count
    text = _noun(first, alike, scene.size, names, rng)
    if scene.relation:
        second = _noun(scene.things[1], 1, None, names, rng)
        text = f"{text} {_one(rng, RELATION_WORDS[scene.relation])} {second}"
    if "background" in names:
        text += _background(scene.background, rng)
    if "view" in names:
        text += ", " + _one(rng, PHRASES[scene.view])
    return text


def truth(scene: Scene, names: Collection[str]) -> dict:
    """The attributes of the scene that a prompt with these names states."""
    facts = scene.named()
    keys = {"kind", "count", "relation", "kind2", *names, *(f"{name}2" for name in names)}
    promised = {key: value for key, value in facts.items() if key in keys and value is not None}
    return promised | ({"faced": scene.faced} if "view" in names else {})


def captions(scene: Scene, rng: np.random.Generator) -> tuple[str, ...]:
    """Four captions: the bare kind with perhaps a colour, a little more, most attributes, and all of them.

    Colours are named most often, as people ask for them, and views often, as text to 3D does. The pattern "plain" is
    mostly left out.
    """
    bare = ["colour"] if rng.random() < 0.5 else []
    little = ["colour"] + [n for n in NAMES[3:] if rng.random() < 0.35]
    most = ["colour"] + [n for n in NAMES[1:] if rng.random() < 0.5]
    full = [n for n in NAMES if n != "view" or rng.random() < 0.7]
    choices = [bare, little, most, full]
    if all(thing.pattern == "plain" for thing in scene.things):
        choices = [[n for n in names if n != "pattern" or rng.random() < 0.25] for names in choices]
    return tuple(prompt(scene, names, rng) for names in choices)


def questions(
    group: str, names: Collection[str], num: int, seed: int = 0, split: str = "held_out"
) -> list[tuple[str, dict]]:
    """Prompts in the usual words with the attributes that they state, of one group: "one", "relation" or "several".

    They belong to scenes of the split. No training saw the whole of a held-out scene, but it may have seen the part
    that is named.
    """
    scenes = [scene_at(seed, index, split, group=group) for index in range(num)]
    return [(prompt(scene, names), truth(scene, names)) for scene in scenes]


def vocabulary() -> dict[str, list[str]]:
    """Every word of the grammar, grouped by what it names, the usual word first: for chips, near words and cards."""
    backgrounds = [word for name in BACKGROUNDS for word in COLOUR_WORDS[name]]
    return {
        "kind": [word for words in KIND_WORDS.values() for word, _ in words],
        "colour": [word for words in COLOUR_WORDS.values() for word in words],
        "pattern": [word for table in (PATTERN_WORDS, PATTERN_TAILS) for words in table.values() for word in words],
        "size": [word for words in SIZE_WORDS.values() for word in words],
        "background": backgrounds,
        "count": list(NUMBERS.values()),
        "relation": [word for words in RELATION_WORDS.values() for word in words],
        "view": [phrase for phrases in PHRASES.values() for phrase in phrases],
    }
