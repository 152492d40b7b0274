"""The slider Variety: the cures that give each model variety, weakest first, as `benchmarks.diversity` measured them.

    ladder(row, steps) -> rungs; a slider from 0 to 1 has a stop for each, and 0 is the model without a cure

assets/variety.json is that table. It sets fields of a request. The slider itself is no field, so that a picture's
metadata say what was done, not where the slider stood.
"""

import functools
import json
from dataclasses import dataclass
from typing import Any

from core.fields import options
from core.paths import assets
from models import catalogue
from models.catalogue import Row
from models.painters import base_of
from models.request import ImageRequest

CURES = ("base_steps", "base_guidance", "skip_steps", "pink", "text_noise", "cads", "adapter_first")
UNMEASURED: tuple[dict[str, Any], ...] = ({"text_noise": 0.2}, {"base_steps": 1}, {"base_steps": 1, "text_noise": 0.4})
ALIKE = 0.03  # smaller relative differences are "about" the same


@dataclass(frozen=True)
class Rung:
    """A stop of the slider. `variety`, `right` and `time` are relative to the model without a cure; None where they
    were not measured."""

    fields: dict[str, Any]
    variety: float | None = None
    right: float | None = None
    time: float | None = None
    steps: int | None = None  # step count at which it was measured

    @property
    def words(self) -> str:
        """One line: what is done, what it brings and what it costs."""
        done = ", ".join(_done(name, value) for name, value in self.fields.items() if name != "base_guidance")
        done = done[0].upper() + done[1:]
        if self.variety is None or self.right is None or self.time is None:
            return f"{done}. Not measured on this model."
        return f"{done}. {_percent(self.variety - 1)} more varied, {_right(self.right)}, {_time(self.time)}."


def _done(name: str, value: Any) -> str:
    if name == "base_steps":
        return "its base takes the first step" if value == 1 else f"its base takes the first {value} steps"
    if name == "skip_steps":
        return "the first step is left out" if value == 1 else f"the first {value} steps are left out"
    words = {
        "pink": "larger shapes in the starting noise",
        "text_noise": "noise on the prompt",
        "cads": "noise on the prompt that fades",
        "adapter_first": "its adapter weaker in the first step",
    }
    return f"{words[name]} ({value:g})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _right(share: float) -> str:
    if abs(share - 1) <= ALIKE:
        return "about as right"
    return f"{_percent(abs(share - 1))} {'more' if share > 1 else 'fewer'} pictures right"


def _time(share: float) -> str:
    if abs(share - 1) <= ALIKE:
        return "as fast"
    return f"{_percent(abs(share - 1))} {'slower' if share > 1 else 'faster'}"


@functools.cache
def table() -> list[dict[str, Any]]:
    return json.loads((assets() / "variety.json").read_text(encoding="utf-8"))


def ladder(row: Row, steps: int) -> list[Rung]:
    """The rungs of a model at a step count: those that were measured at the nearest count and that it can take here. A
    model without measurements gets some that often help."""
    measured = [entry for entry in table() if entry["model"] == row.id]
    if not measured:
        return [Rung(fields) for fields in UNMEASURED if able(row, steps, fields)]
    near = min((entry["steps"] for entry in measured), key=lambda n: (abs(n - steps), n))
    rungs = [Rung(**{k: v for k, v in entry.items() if k != "model"}) for entry in measured if entry["steps"] == near]
    return [rung for rung in rungs if rung.fields and able(row, steps, rung.fields)]


def able(row: Row, steps: int, fields: dict[str, Any]) -> bool:
    """Whether a request to this model may have these fields. At least one step of its own must be left."""
    if fields.get("adapter_first", 1) != 1 and row.manifest.kind != "lora":
        return False
    return fields.get("base_steps", 0) + fields.get("skip_steps", 0) < steps and (
        not fields.get("base_steps") or based(row)
    )


def based(row: Row) -> bool:
    """Whether its base model can take steps of its runs, and can run here."""
    try:
        return catalogue.available(catalogue.get(base_of(row))) is None
    except ValueError:
        return False


def usual() -> dict[str, Any]:
    """The fields of all cures, at their defaults."""
    return {name: getattr(ImageRequest("a"), name) for name in CURES if name in options(ImageRequest)}


def knob(row: Row, steps: int) -> dict[str, Any]:
    """The data of the page's slider: the rungs with their words, or the reason why there are none."""
    rungs = [{"fields": usual() | rung.fields, "words": rung.words} for rung in ladder(row, steps)]
    reason = "" if rungs else f"Nothing that was tried gives {row.id} more variety at {steps} step{'s' * (steps != 1)}."
    return {"rungs": rungs, "reason": reason, "note": lonely(row) if steps == 1 and based(row) else ""}


def lonely(row: Row) -> str:
    """Why its base takes no part in one step, and with how many steps it can."""
    more = next((n for n in sorted(row.manifest.step_counts) if n > 1), None)
    offer = f"with {more} steps it can take the first" if more else "it was made for one step alone"
    return f"Its base can't take part in one step, as none would be left for {row.id}; {offer}."
