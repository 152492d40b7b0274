"""Pairs of pictures that differ in one attribute, from which a slider learns (distill/methods/slider.py).

Toys are rendered twice, so a pair differs in nothing else. Emoji are paired by their names: the same face with and
without tears, or the face that frowns and the one that smiles. A person's pairs are a folder in the studio's
`datasets/` with the folders `low` and `high`: files of the same name are a pair, with their captions beside them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from core.paths import datasets
from core.stage import tell
from distill.data import SIDE
from distill.data.emoji import FILL, compose, drawings_of, read_rows
from distill.data.emoji_fetch import home
from distill.data.folder import Folder
from distill.data.toys.bake import solid
from distill.data.toys.captions import prompt
from distill.data.toys.render import Seen, look, picture, place, render
from distill.data.toys.scene import Scene, scene_at
from models.palette import BACKGROUNDS, COLOURS
from models.prompt import shared

COLD, WARM = (0.82, 0.96, 1.14), (1.12, 1.0, 0.8)  # factors of red, green and blue
DARK, LIGHT = 0.2, 0.12  # what is left of a background's light, and of its darkness
BEND = 0.55
SMILE = (
    ("frowning face", "grinning face"),
    ("slightly frowning face", "slightly smiling face"),
    ("disappointed face", "smiling face with smiling eyes"),
    ("worried face", "smiling face"),
    ("confused face", "grinning face with big eyes"),
    ("frowning face with open mouth", "grinning face with smiling eyes"),
    ("anguished face", "beaming face with smiling eyes"),
    ("pensive face", "grinning squinting face"),
    ("crying cat", "grinning cat with smiling eyes"),
    ("weary cat", "grinning cat"),
)
TEARS = (
    ("slightly smiling face", "smiling face with tear"),
    ("slightly frowning face", "crying face"),
    ("frowning face with open mouth", "loudly crying face"),
    ("pleading face", "face holding back tears"),
    ("grinning squinting face", "face with tears of joy"),
    ("grinning cat with smiling eyes", "cat with tears of joy"),
    ("pouting cat", "crying cat"),
)


@dataclass(frozen=True)
class Ends:
    """The two pictures of a pair, uint8 [side, side, 3], and a caption that is true of both."""

    low: np.ndarray
    high: np.ndarray
    caption: str


def one_thing(seed: int, index: int) -> tuple[Scene, np.random.Generator]:
    return scene_at(seed, index, group="one"), np.random.default_rng([seed, index, 27])


def caption(scene: Scene, rng: np.random.Generator, without: str = "") -> str:
    """A caption that says nothing of one attribute."""
    chances = {"colour": 0.75, "pattern": 0.15, "size": 0.25, "background": 0.4, "view": 0.1}
    names = [name for name, chance in chances.items() if rng.random() < chance]
    return prompt(scene, [name for name in names if name != without], rng)


def size(seed: int, index: int) -> Ends:
    scene, rng = one_thing(seed, index)
    small, big = (render(replace(scene, size=size)) for size in ("small", "big"))
    return Ends(small, big, caption(scene, rng, "size"))


def pattern(seed: int, index: int) -> Ends:
    scene, rng = one_thing(seed, index)
    plain, striped = (
        render(replace(scene, things=(replace(scene.things[0], pattern=name),))) for name in ("plain", "striped")
    )
    return Ends(plain, striped, caption(scene, rng, "pattern"))


def count(seed: int, index: int) -> Ends:
    """One thing and four. Half of the captions speak of two, so that the slider goes both ways."""
    scene, rng = one_thing(seed, index)
    several = replace(scene, size=None, count=4)
    return Ends(
        render(replace(scene, size="big")),
        render(several),
        caption(replace(several, count=2) if index % 2 else scene, rng, "size"),
    )


def roundness(seed: int, index: int) -> Ends:
    scene, rng = one_thing(seed, index)
    (thing,) = place(scene)
    square, round_ = (
        picture(look(scene, things=[replace(thing, solid=solid(thing.thing.kind, bend))])) for bend in (-BEND, BEND)
    )
    return Ends(square, round_, caption(scene, rng))


def behind(seen: Seen, colour: np.ndarray) -> np.ndarray:
    """The picture with a background of this colour."""
    image = np.where(seen.thing[..., None] < 0, colour.astype(np.float32), seen.image)
    return picture(replace(seen, image=image))


def background(seed: int, index: int) -> Ends:
    """The same colour behind, dark and light."""
    scene, rng = one_thing(seed, index)
    thing = scene.things[0]
    colours = [name for name in COLOURS if name != "black"]
    name = colours[int(rng.integers(len(colours)))] if thing.colour == "black" else thing.colour
    scene = replace(scene, things=(replace(thing, colour=name),))
    seen, own = look(scene), np.array(BACKGROUNDS[scene.background])
    return Ends(behind(seen, DARK * own), behind(seen, 255 - LIGHT * (255 - own)), caption(scene, rng))


def warmth(seed: int, index: int) -> Ends:
    """The same picture in cold and in warm light."""
    scene, rng = one_thing(seed, index)
    shown = render(scene)
    cold, warm = ((shown * np.array(light)).clip(0, 255).astype(np.uint8) for light in (COLD, WARM))
    return Ends(cold, warm, caption(scene, rng))


@cache
def smileys(folder: Path) -> dict[str, Any]:
    """The rows of faces in the folder of emoji, by name; read once, as every pair asks for two."""
    return {row["name"]: row for row in read_rows(folder, ("smileys",))}


def faces(pairs: Sequence[tuple[str, str]], seed: int, index: int) -> Ends:
    """Two emoji of these names on one background, called a face."""
    folder, rng = home(), np.random.default_rng([seed, index, 28])
    low, high = pairs[index % len(pairs)]
    ground = str(rng.choice(list(BACKGROUNDS))) if rng.random() < 0.5 else "white"
    drawn = [drawings_of(smileys(folder)[name], folder, "fluent")[0].path for name in (low, high)]
    fill = sum(FILL) / 2
    words = "a cat face" if "cat" in low else "a face"
    words += f" on a {ground} background" if rng.random() < 0.4 else ""
    first, last = (compose(path, BACKGROUNDS[ground], fill, (0, 0)) for path in drawn)
    return Ends(first, last, words)


KNOWN: dict[str, Callable[[int, int], Ends]] = {
    "size": size,
    "roundness": roundness,
    "pattern": pattern,
    "background": background,
    "warmth": warmth,
    "count": count,
    "smile": partial(faces, SMILE),
    "tears": partial(faces, TEARS),
}


def own(name: str, side: int) -> list[Ends]:
    """The pairs of a person's folder. Raises ValueError where it has none, or where a picture is alone."""
    home = datasets() / name
    halves = [Folder(home / end, side=side, few=1 << 60) for end in ("low", "high")]
    low, high = ({half[i].attributes["file"]: half[i] for i in range(len(half))} for half in halves)
    if alone := sorted(low.keys() ^ high.keys()):
        raise ValueError(f"{alone[0]} of {name} is in one of the folders low and high; each pair needs it in both")
    return [Ends(low[f].picture, high[f].picture, shared(low[f].captions[0], high[f].captions[0])) for f in low]


def check(name: str) -> None:
    """Raises ValueError for a name of no pairs."""
    folders = [datasets() / Path(name).name / end for end in ("low", "high")]
    if name not in KNOWN and not (Path(name).name == name and all(folder.is_dir() for folder in folders)):
        raise ValueError(
            f"there are no pairs of pictures {name!r:.80}; valid: {', '.join(KNOWN)}, or a folder in the studio's "
            f"datasets/ with the folders low and high"
        )


def ends(name: str, num: int, seed: int = 0, side: int = SIDE) -> list[Ends]:
    """`num` pairs of one attribute, or all of a person's."""
    check(name)
    if name not in KNOWN:
        return own(name, side)
    out = []
    for index in range(num):
        tell("drawing pairs of pictures", index, num)
        out.append(KNOWN[name](seed, index))
    return out
