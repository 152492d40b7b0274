"""What is said of a scene: a small grammar with synonyms and optional parts. Everything said is true.

A caption always names the kinds, how many (for several) and the relation (for two); what else it names is chosen:
colour, pattern, size, background, view. `prompt` says exactly what it is asked to, `captions` chooses at random.
"""

from collections.abc import Collection

import numpy as np

from distill.data.toys.palette import BACKGROUNDS
from distill.data.toys.scene import Scene, Thing
from models.views import PHRASES, view_phrase

NAMES = ("colour", "pattern", "size", "background", "view")
KIND_WORDS: dict[str, tuple[tuple[str, str], ...]] = {  # singular and plural
    "ball": (("ball", "balls"), ("sphere", "spheres")),
    "cube": (("cube", "cubes"), ("box", "boxes")),
    "cone": (("cone", "cones"),),
    "cylinder": (("cylinder", "cylinders"),),
    "ring": (("ring", "rings"), ("torus", "toruses")),
    "pyramid": (("pyramid", "pyramids"),),
    "egg": (("egg", "eggs"),),
    "mug": (("mug", "mugs"), ("cup", "cups")),
    "bottle": (("bottle", "bottles"),),
    "teapot": (("teapot", "teapots"),),
    "house": (("house", "houses"), ("cottage", "cottages")),
    "tree": (("tree", "trees"), ("fir tree", "fir trees")),
    "mushroom": (("mushroom", "mushrooms"), ("toadstool", "toadstools")),
    "car": (("car", "cars"), ("toy car", "toy cars")),
    "boat": (("boat", "boats"), ("sailing boat", "sailing boats"), ("ship", "ships")),
    "rocket": (("rocket", "rockets"), ("spaceship", "spaceships")),
    "aeroplane": (("aeroplane", "aeroplanes"), ("plane", "planes"), ("airplane", "airplanes")),
    "chair": (("chair", "chairs"),),
    "table": (("table", "tables"),),
    "sofa": (("sofa", "sofas"), ("couch", "couches")),
    "lamp": (("lamp", "lamps"), ("table lamp", "table lamps")),
    "hat": (("hat", "hats"),),
    "key": (("key", "keys"),),
    "snowman": (("snowman", "snowmen"),),
    "robot": (("robot", "robots"),),
    "bird": (("bird", "birds"),),
    "fish": (("fish", "fish"),),
}
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
PATTERN_WORDS = {"striped": ("striped", "stripy"), "dotted": ("dotted", "spotted", "polka-dot")}
PATTERN_TAILS = {"striped": ("with stripes",), "dotted": ("with dots", "with spots")}
SIZE_WORDS = {"big": ("big", "large"), "small": ("small", "little", "tiny")}
NUMBERS = {2: "two", 3: "three", 4: "four"}
RELATION_WORDS: dict[str, tuple[str, ...]] = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "in front of": ("in front of",),
    "on": ("on", "on top of"),
}


def _one(rng: np.random.Generator, words: tuple) -> str:
    """The first wording half of the time, any of them otherwise."""
    return words[0] if rng.random() < 0.5 else words[int(rng.integers(len(words)))]


def _article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _noun(thing: Thing, count: int, size: str | None, names: Collection[str], rng: np.random.Generator) -> str:
    """"a small striped red mug", "two teal robots", "a red mug with stripes"."""
    words, tail = [], ""
    if "size" in names and size:
        words.append(_one(rng, SIZE_WORDS[size]))
    if "pattern" in names and thing.pattern == "plain":
        words += ["plain"] if rng.random() < 0.25 else []
    elif "pattern" in names and rng.random() < 0.25:
        tail = " " + _one(rng, PATTERN_TAILS[thing.pattern])
    elif "pattern" in names:
        words.append(_one(rng, PATTERN_WORDS[thing.pattern]))
    if "colour" in names:
        words.append(_one(rng, COLOUR_WORDS[thing.colour]))
    words.append(_one(rng, KIND_WORDS[thing.kind])[count > 1])
    phrase = " ".join(words) + tail
    return f"{NUMBERS[count]} {phrase}" if count > 1 else _article(phrase)


def _background(background: str, rng: np.random.Generator) -> str:
    colour = _one(rng, COLOUR_WORDS[background])
    form = _one(rng, ("on a {} background", "against a {} background", "{} background", "on {}"))
    return (", " if form.startswith("{") else " ") + form.format(colour).replace("a orange", "an orange")


def prompt(scene: Scene, names: Collection[str], rng: np.random.Generator) -> str:
    """A caption that names exactly `names` (of colour, pattern, size, background, view), kinds, count and relation.

    A plain pattern and the size of several things go without saying.
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
        text += ", " + view_phrase(rng, scene.view)
    return text


def truth(scene: Scene, names: Collection[str]) -> dict:
    """What a prompt of these names promises: those of the scene's attributes that it says."""
    said = scene.named()
    keys = {"kind", "count", *names} | ({"relation", "kind2"} if scene.relation else set())
    if scene.relation:
        keys |= {f"{name}2" for name in ("colour", "pattern") if name in names}
    return {key: value for key, value in said.items() if key in keys and value is not None}


def captions(scene: Scene, rng: np.random.Generator) -> tuple[str, ...]:
    """Four wordings: all that there is, most of it, a little, and the bare kind with perhaps a colour.

    Colours are named most often, views in half, since people and text-to-3D ask for those.
    """
    full = [n for n in NAMES if n != "view" or rng.random() < 0.7]
    most = ["colour"] + [n for n in NAMES[1:] if rng.random() < 0.5]
    little = ["colour"] + [n for n in NAMES[3:] if rng.random() < 0.35]
    bare = ["colour"] if rng.random() < 0.5 else []
    return tuple(prompt(scene, names, rng) for names in (full, most, little, bare))


def vocabulary() -> dict[str, list[str]]:
    """Every word of the grammar by what it names, the usual word first: for chips, near words and cards."""
    backgrounds = [word for name in BACKGROUNDS for word in COLOUR_WORDS[name]]
    return {
        "kind": [word for words in KIND_WORDS.values() for word, _ in words],
        "colour": [word for words in COLOUR_WORDS.values() for word in words],
        "pattern": ["plain", *(w for t in (PATTERN_WORDS, PATTERN_TAILS) for words in t.values() for w in words)],
        "size": [word for words in SIZE_WORDS.values() for word in words],
        "background": backgrounds,
        "count": list(NUMBERS.values()),
        "relation": [word for words in RELATION_WORDS.values() for word in words],
        "view": [phrase for phrases in PHRASES.values() for phrase in phrases],
    }
