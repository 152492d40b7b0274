"""Sliders: one attribute of a picture, moved along a strength. One list has two ways to move it.

    size:1.5, smile:-1            sliders of the box, in their units
    plain/striped:1               two words: the direction from the first to the second
    my-slider:1                   one that was trained here (distill/methods/slider.py)

**A LoRA** that was trained for it on a base is active with the slider's strength, on the base and on all that was
distilled from it. **A direction** in the space of prompt embeddings needs no training: a pair of prompts says the same
thing twice, but for one word; over the pairs everything else varies, so that it cancels out (arXiv 2603.17998). The
direction is the mean difference of the pairs' tokens, and a prompt is moved along it, all of its tokens alike. That
changes the numbers of one input, so no network is compiled or merged anew, and it works on every model that reads
prompts.

A slider of the box acts on each model in the way that was better where `benchmarks.sliders` measured it (`Range.by`);
where nothing was measured, by its LoRA if that fits. One unit is the same measured change on every measured model.
"""

import functools
import json
import re
from dataclasses import dataclass, field
from typing import Literal

from core.fields import record
from core.paths import assets
from models import catalogue, stack
from models.catalogue import Row
from models.stack import Entry

STRONGEST = 5.0  # units
Way = Literal["direction", "lora"]
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
    """What was measured on a model: which way it acts, the strength of one unit of that, and where pictures break."""

    unit: float  # of the LoRA's strength, or of the raw direction's length
    low: float  # units
    high: float
    by: Way = "direction"


@dataclass(frozen=True)
class Slider:
    name: str
    low: str  # words for its ends
    high: str
    pairs: list[list[str]]  # empty for one that is a LoRA alone
    keeps: list[list[str]] = field(default_factory=list)  # pairs along whose direction it does not move
    measure: str = ""  # what of the pictures it changes, as benchmarks.sliders measures it
    step: float = 0.0  # that one unit changes it by
    models: dict[str, Range] = field(default_factory=dict)
    lora: str = ""  # the id of the LoRA that was trained for it

    def on(self, row: Row) -> Range:
        """How it acts on this model. Raises ValueError where it can't."""
        measured = self.models.get(row.id)
        if measured is not None and measured.low == measured.high:
            raise ValueError(f"{row.id} can't use the slider {self.name}: it changes nothing there")
        if measured is not None:
            return measured
        if self.fits(row):
            return Range(1.0, 0.0, 0.0, "lora")
        if not self.pairs:
            made = catalogue.get(self.lora).manifest.base
            other = "which is several students of other shapes" if row.routed else "which has other layers"
            raise ValueError(f"the slider {self.name} was trained on {made}, so {row.id} can't use it, {other}")
        return Range(1.0, 0.0, 0.0)

    def fits(self, row: Row) -> bool:
        """Whether its LoRA can act on this model."""
        known = catalogue.rows()
        return self.lora in known and stack.fits(known[self.lora], row, known, "slider")


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
    if (known := box() | own()).get(name) is None:
        raise ValueError(f"unknown slider {name!r:.80}; valid: {', '.join(known)}, or two words such as plain/striped")
    return known[name]


def own() -> dict[str, Slider]:
    """The sliders that were trained here, by id."""
    made = [row for row in catalogue.rows().values() if row.manifest.kind == "slider"]
    boxed = {slider.lora for slider in box().values()}
    return {row.id: trained(row) for row in made if row.id not in boxed}


def trained(row: Row) -> Slider:
    """The slider that a LoRA of this kind is, with the words for its ends from its manifest."""
    facts = row.manifest.lora or {}
    return Slider(row.id, facts["low"], facts["high"], [], lora=row.id)


def chosen(text: str, row: Row) -> list[tuple[Entry, Slider, Range]]:
    """The sliders of a request, and how each acts on this model. Raises ValueError for one that is not there, or that
    this model can't use."""
    entries = stack.parse(text, "sliders", STRONGEST)
    return [(entry, slider := get(entry.name), slider.on(row)) for entry in entries]


def loras(text: str, row: Row) -> list[Entry]:
    """The LoRAs of a request's sliders, at their strengths on this model."""
    acting = [(entry, slider, range_) for entry, slider, range_ in chosen(text, row) if range_.by == "lora"]
    return [Entry(slider.lora, range_.unit * entry.strength, entry.phase) for entry, slider, range_ in acting]
