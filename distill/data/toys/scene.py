"""Scenes: the contents of a picture, and the known distribution that scenes are drawn from.

The distribution (uniform where nothing is said):

    group     one thing 0.60, two things with a relation 0.22, two to four of a kind 0.18
    kind      27 kinds; colour: 12; background: 8; never black on black; the two of a relation are of different kinds
    pattern   plain 0.70, striped 0.15, dotted 0.15, for each thing
    size      one thing: big 0.75, small 0.25; several things fill the picture and have no size
    relation  left of, right of, in front of, on: 0.25 each; the thing below is one of `STANDS`
    view      `models.views` (front 0.50, side 0.25, back 0.15, overhead 0.10); for one long thing (car, boat, ...)
              front 0.30, side 0.45, back 0.15, overhead 0.10; `in front of` and `on` are seen from 20 to 40 degrees
              up (front 0.60, side 0.25, back 0.15; on a chair or sofa front 0.75, side 0.25); where a key or a ring
              is, sides within 25 degrees of its edge are squeezed out of the side's sector

A scene is a function of (seed, index). `mini` is one thing, big, plain, 6 kinds and 6 colours, one view.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from distill.data.toys.kinds import FACED, FLAT, KINDS, LONG, STANDS
from models.law import PATTERNS, SIZES
from models.palette import BACKGROUNDS, COLOURS, UNSEEN
from models.views import CHANCES, LEVEL, Camera, sample_camera, view_word

RELATIONS = ("left of", "right of", "in front of", "on")
GROUPS = {"one": 0.6, "relation": 0.22, "several": 0.18}
LONG_CHANCES = {"front": 0.3, "side": 0.45, "back": 0.15, "overhead": 0.1}
LEVEL_CHANCES = {"front": 0.6, "side": 0.25, "back": 0.15}
SEATED_CHANCES = {"front": 0.75, "side": 0.25}
BACKED = frozenset({"chair", "sofa"})  # kinds whose back hides the thing on them
SCALE = {"big": 1.0, "small": 0.55}
MINI_KINDS = ("cube", "mug", "house", "tree", "car", "mushroom")
MINI_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
MINI_CAMERA = Camera(30.0, 22.0)
HELD_OUT = 20  # one combination in so many is never trained on


@dataclass(frozen=True)
class Thing:
    kind: str
    colour: str
    pattern: str = "plain"


@dataclass(frozen=True)
class Scene:
    """`things` has one thing, or the two of a relation: the first is `relation` the second ("a cup on a table")."""

    things: tuple[Thing, ...]
    background: str
    camera: Camera
    count: int = 1  # things in the picture: 2 for a relation
    relation: str | None = None
    size: str | None = "big"  # of a single thing; None for several
    layout: str = "row"  # of several of a kind: row or cluster
    jitter: tuple[float, ...] = field(default=(0.0,) * 8)  # numbers in [-1, 1] that nudge places and sizes

    @property
    def view(self) -> str:
        return view_word(self.camera.azimuth, self.camera.elevation)

    @property
    def faced(self) -> bool:
        return any(thing.kind in FACED for thing in self.things)

    def named(self) -> dict:
        """Everything that words can say of the scene, so without the jitter."""
        first, second = self.things[0], self.things[1] if self.relation else None
        return {
            **asdict(first),
            "size": self.size,
            "background": self.background,
            "count": self.count,
            "relation": self.relation,
            **{f"{key}2": getattr(second, key, None) for key in ("kind", "colour", "pattern")},
            "view": self.view,
        }

    def attributes(self) -> dict:
        """The true attributes, for JSON. `faced`: whether front, side and back look different in the picture."""
        return {
            **self.named(),
            "faced": self.faced,
            "azimuth": round(self.camera.azimuth, 3),
            "elevation": round(self.camera.elevation, 3),
        }

    @property
    def split(self) -> str:
        """The split, by the hash of `named`, so that no training scene shows a held-out combination."""
        digest = hashlib.sha256(json.dumps(self.named(), sort_keys=True).encode()).digest()
        return "train" if int.from_bytes(digest[:8]) % HELD_OUT else "held_out"


def _pick(rng: np.random.Generator, law: dict[str, float]) -> str:
    return list(law)[int(np.searchsorted(np.cumsum(list(law.values())), rng.random() * 0.999999999))]


def _one_of(rng: np.random.Generator, names: Sequence[str]) -> str:
    return names[int(rng.integers(len(names)))]


def _camera(rng: np.random.Generator, kinds: list[str], relation: str | None) -> Camera:
    if relation in ("in front of", "on"):
        hidden = relation == "on" and kinds[1] in BACKED
        camera = sample_camera(rng, SEATED_CHANCES if hidden else LEVEL_CHANCES)
        camera = replace(camera, elevation=float(rng.uniform(20, LEVEL[1])))
    else:
        camera = sample_camera(rng, LONG_CHANCES if len(kinds) == 1 and kinds[0] in LONG else CHANCES)
    return replace(camera, azimuth=_off_edge(camera.azimuth)) if FLAT & set(kinds) else camera


def _off_edge(azimuth: float) -> float:
    """The azimuth of a side view, moved to at least 25 degrees from edge-on."""
    turn, sign = abs(azimuth), np.sign(azimuth)
    if not 45 < turn < 135:
        return azimuth
    part = (turn - 45) / 90  # in [0, 1]
    return float(sign * (45 + 40 * part if part < 0.5 else 95 + 40 * part))


def sample_scene(rng: np.random.Generator, group: str | None = None) -> Scene:
    """A scene of the distribution above, or of one of its groups: one, relation, several."""
    if group is not None and group not in GROUPS:
        raise ValueError(f"group {group!r}; valid: {', '.join(GROUPS)}")
    group = group or _pick(rng, GROUPS)
    relation = _one_of(rng, RELATIONS) if group == "relation" else None
    kinds = [_one_of(rng, list(KINDS))]
    if relation:
        others = [k for k in (STANDS if relation == "on" else KINDS) if k != kinds[0]]
        kinds.append(_one_of(rng, others))
    background = _one_of(rng, list(BACKGROUNDS))
    seen = [c for c in COLOURS if (c, background) not in UNSEEN]
    things = tuple(Thing(k, _one_of(rng, seen), _pick(rng, PATTERNS)) for k in kinds)
    return Scene(
        things=things,
        background=background,
        camera=_camera(rng, kinds, relation),
        count={"one": 1, "relation": 2}.get(group) or int(rng.integers(2, 5)),
        relation=relation,
        size=_pick(rng, SIZES) if group == "one" else None,
        layout=_one_of(rng, ("row", "cluster")),
        jitter=tuple(rng.uniform(-1, 1, 8).round(4).tolist()),
    )


def sample_mini(rng: np.random.Generator) -> Scene:
    thing = Thing(_one_of(rng, MINI_KINDS), _one_of(rng, MINI_COLOURS))
    jitter = tuple(rng.uniform(-1, 1, 8).round(4).tolist())
    return Scene((thing,), _one_of(rng, list(BACKGROUNDS)), MINI_CAMERA, jitter=jitter)


def scene_at(seed: int, index: int, split: str = "train", *, mini: bool = False, group: str | None = None) -> Scene:
    """The scene of an index: draws of this index are repeated until one belongs to the split."""
    attempt = 0
    while True:
        rng = np.random.default_rng([seed, index, attempt])
        scene = sample_mini(rng) if mini else sample_scene(rng, group)
        if scene.split == split:
            return scene
        attempt += 1
