"""Sliders without training: a direction in the space of prompt embeddings, found from pairs of prompts.

    size:1.5, smile:-1            sliders of the box, in their units
    plain/striped:1               two words: the direction from the first to the second

A pair says the same thing twice, but for one word; over the pairs everything else varies, so that it cancels out
(arXiv 2603.17998). The direction is the mean difference of the pairs' tokens, and a prompt is moved along it, all of
its tokens alike. That changes the numbers of one input, so no network is compiled or merged anew, and it works on every
model that reads prompts.

One unit is the same measured change on every model that `benchmarks.sliders` has measured; on others it is the way
between the two prompts of a pair.
"""

import functools
import json
import re
from dataclasses import dataclass, field

from core.fields import record
from core.paths import assets
from models import stack
from models.catalogue import Row
from models.stack import Entry

STRONGEST = 5.0  # units
WORDS = re.compile(r"([\w-]{1,40})/([\w-]{1,40})")
FRAMES = (  # of two words: what varies while they are compared
    "a {} ball on a white background",
    "a {} red mushroom on a grey background",
    "a {} blue house",
    "a {} green robot on a yellow background",
    "a {} cat",
    "a {} face",
)


@dataclass(frozen=True)
class Range:
    """What was measured on a model: the length of one unit along the raw direction, and where pictures break."""

    unit: float
    low: float  # units
    high: float


@dataclass(frozen=True)
class Slider:
    name: str
    low: str  # words for its ends
    high: str
    pairs: list[list[str]]
    keeps: list[list[str]] = field(default_factory=list)  # pairs along whose direction it does not move
    measure: str = ""  # what of the pictures it changes, as benchmarks.sliders measures it
    step: float = 0.0  # that one unit changes it by
    models: dict[str, Range] = field(default_factory=dict)


@functools.cache
def box() -> dict[str, Slider]:
    """The sliders of the box, by name."""
    files = sorted((assets() / "sliders").glob("*.json"))
    records = [record(Slider, json.loads(path.read_text(encoding="utf-8")), path.name) for path in files]
    return {slider.name: slider for slider in records}


def get(name: str) -> Slider:
    """Raises ValueError for a name that is no slider and no pair of words."""
    if (words := WORDS.fullmatch(name)) is not None:
        low, high = words.groups()
        return Slider(name, low, high, [[frame.format(low), frame.format(high)] for frame in FRAMES])
    if name not in box():
        raise ValueError(f"unknown slider {name!r:.80}; valid: {', '.join(box())}, or two words such as plain/striped")
    return box()[name]


def chosen(text: str, row: Row) -> list[Entry]:
    """The sliders of a request. Raises ValueError for one that is not there, or that this model can't use."""
    entries = stack.parse(text, "sliders", STRONGEST)
    for entry in entries:
        measured = get(entry.name).models.get(row.id)
        if measured is not None and measured.low == measured.high:
            raise ValueError(f"{row.id} can't use the slider {entry.name}: it changes nothing there")
    return entries
