"""The models that paint some of a run's steps: `toybox-sd:0` in a request gives the first step to toybox-sd.

    MODEL:STEP, MODEL:FIRST-LAST@GUIDANCE, …          steps count from 0; the default guidance is that model's

The run keeps its schedule, its noise and its prompts. Only the network and its guidance change between steps.
"""

import re
from dataclasses import dataclass

from models import catalogue
from models.catalogue import Row

ENTRY = re.compile(r"([^\s:@,]+):([0-9]{1,3})(?:-([0-9]{1,3}))?(?:@([0-9]{1,3}(?:\.[0-9]+)?))?")
FORM = "MODEL:FIRST-LAST@GUIDANCE, such as toybox-sd:0-1@3"


@dataclass(frozen=True)
class Painter:
    model: str
    steps: range
    guidance: float


def parse(text: str) -> list[Painter]:
    """The painters in a text. Raises ValueError where it is no such list, or names an unknown model."""
    return [_painter(entry.strip()) for entry in text.split(",")] if text.strip() else []


def _painter(entry: str) -> Painter:
    match = ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(f"painters has {entry!r:.80}; each entry must be {FORM}")
    model, first, last, guidance = match.groups()
    usual = catalogue.get(model).manifest.guidance.default
    steps = range(int(first), int(first if last is None else last) + 1)
    if not steps:
        raise ValueError(f"painters has {entry!r:.80}, whose last step comes before its first")
    return Painter(model, steps, usual if guidance is None else float(guidance))


def must_fit(painters: list[Painter], row: Row, steps: int) -> None:
    """Raises ValueError where the painters can't take their steps of a run of this model."""
    taken: set[int] = set()
    for painter in painters:
        other = catalogue.get(painter.model)
        if not related(other, row):
            valid = ", ".join(r.id for r in catalogue.menu() if r.id != row.id and related(r, row))
            raise ValueError(f"{other.id} can't paint steps of {row.id}; valid: {valid or 'no other model'}")
        if painter.steps.stop > steps:
            raise ValueError(f"{other.id} can't paint step {painter.steps[-1]}: {steps} steps are 0 to {steps - 1}")
        if taken & set(painter.steps):
            raise ValueError(f"painters names two models for step {min(taken & set(painter.steps))}; name one")
        taken |= set(painter.steps)
        low, high = other.manifest.guidance.range
        if not low <= painter.guidance <= high:
            raise ValueError(f"guidance of {other.id} must be {low:g} to {high:g}, not {painter.guidance:g}")


def base_of(row: Row) -> str:
    """The id of the model that this one was distilled from. Raises ValueError where there is none that paints."""
    above = catalogue.get(row.manifest.base) if row.manifest.base else None
    if above is None or above.manifest.kind in catalogue.HIDDEN:
        raise ValueError(f"{row.id} has no base model to take its steps; base_steps must be 0")
    return above.id


def related(a: Row, b: Row) -> bool:
    """Whether each can go on from the other's x_t: they share family, autoencoder and text encoder."""
    if a.manifest.family != b.manifest.family or a.manifest.kind in catalogue.HIDDEN:
        return False
    return catalogue.chain(a)[-1].id == catalogue.chain(b)[-1].id
