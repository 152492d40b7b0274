"""The request of text to 3D. No torch here, as jobs read it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from core.fields import option, short
from models import catalogue
from models.request import PROMPT, SEEDS, Request
from threed.modes import MODES
from threed.prompts import has_views

FIELDS = ("grid", "triplane", "hash")  # the last is meant for a GPU
DEFAULT_TEACHER = "toybox-sd"
TURNING = "toybox-sd-views"  # it has seen toys from all sides, so it is the default for them
FAMILIES = ("sd", "sdxl")


@dataclass(frozen=True)
class Preset:
    """The values of a preset. Seconds and memory are for two idle cores and the box's teacher, measured on a blue mug,
    with the start of Python."""

    mode: str
    seeds: int  # candidates; the best becomes a mesh
    rounds: int  # for each candidate
    rays: int  # steps on rays in each round
    skin: int  # rounds that fit only colours, on the mesh
    faces: int
    texture: int  # pixels on a side
    seconds: int
    memory_gb: float


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "draft": Preset("pool", 1, 14, 16, 1, 8_000, 512, 16, 1.2),
        "standard": Preset("hybrid", 3, 25, 18, 6, 8_000, 1024, 55, 1.6),
        "quality": Preset("hybrid", 6, 25, 18, 16, 20_000, 2048, 110, 2.4),
    }
)


def teachers() -> list[str]:
    """Models with classifier-free guidance, which view words can steer."""
    rows = catalogue.rows().values()
    able = [r.id for r in rows if r.manifest.family in FAMILIES and r.manifest.guidance.kind == "cfg"]
    return [r for r in able if catalogue.get(r).manifest.kind in ("model", "lora")]


@dataclass(frozen=True)
class ThreeDRequest(Request):
    """One thing. Fields that are left out have the preset's values."""

    prompt: str = option("", "One object, such as a red mushroom.", longest=PROMPT, required=True, lines=2)
    preset: str = option("draft", "A fast draft, or better quality.", choices=lambda: list(PRESETS))
    model: str = option(None, "The teacher.", choices=teachers)
    seed: int = option(0, "The same seed gives the same thing.", low=0, high=SEEDS - 1, step=1)
    mode: str = option(None, "How the teacher's predictions are used.", choices=lambda: list(MODES))
    field: str = option("grid", "How the shape is stored while it is fitted.", choices=lambda: list(FIELDS))
    seeds: int = option(None, "Candidates; the best one becomes the mesh.", low=1, high=16, step=1)
    rounds: int = option(None, "Rounds of teacher predictions for each candidate.", low=0, high=1000, step=1)
    rays: int = option(None, "Optimisation steps on rays after each round.", low=1, high=200, step=1)
    skin: int = option(None, "Rounds that fit only colours, on the finished mesh.", low=0, high=200, step=1)
    faces: int = option(None, "Faces of the mesh, at most.", low=200, high=100_000, step=100)
    texture: int = option(None, "Side of the texture.", low=128, high=4096, step=128, unit="pixels")
    threshold: float | None = option(
        None, "Density at the surface; if left out, chosen by the silhouettes.", low=0.1, high=100
    )
    start: str | None = option(None, "A run to go on from, by its name; a job's is its id.", longest=100)
    pick: int | None = option(None, "Which of that run's things; its best, if left out.", low=0, high=15, step=1)
    picture: str | None = option(None, "A picture in the studio that is inflated, by its sha256.", longest=64)

    @property
    def one_sided(self) -> bool:
        """Whether there is only a front, which is then inflated: a given picture, or a thing that is no toy, of which
        the box's teacher knows only the front."""
        return self.picture is not None or not has_views(self.prompt) and catalogue.get(self.model).hub is None

    def _order(self) -> list[str]:
        names = super()._order()
        return ["preset", *(n for n in names if n != "preset")]

    def _validate(self) -> None:
        if self.start is not None and not re.fullmatch(r"[\w-]+", self.start, re.ASCII):
            raise ValueError(f"start must be the name of a run in this studio, not {short(self.start)}")
        if self.picture is not None and not re.fullmatch(r"[0-9a-f]{64}", self.picture):
            raise ValueError(f"picture must be the 64 hexadecimal digits of a kept picture, not {short(self.picture)}")
        if self.start is None and not self.rounds:
            raise ValueError("rounds must be at least 1, unless start names a run to go on from")
        if self.start is None and self.pick is not None:
            raise ValueError("pick says which thing of a run: name the run as start, or leave pick out")
        if self.start is not None and self.picture is not None:
            raise ValueError("start and picture both say what it begins with: leave one out")
        if (self.start or self.picture) and self.seeds != 1:
            raise ValueError("of a start or a picture one thing is made: leave seeds out")

    def _fill(self, name: str) -> Any:
        if name == "seeds" and (self.start or self.picture):
            return 1
        if name == "model":
            valid = teachers()
            best = (TURNING, DEFAULT_TEACHER) if has_views(self.prompt) else (DEFAULT_TEACHER,)
            return next((t for t in best if t in valid), valid[0] if valid else DEFAULT_TEACHER)
        return getattr(PRESETS[self.preset], name)
