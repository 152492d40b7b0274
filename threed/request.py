"""What a person asks for in three dimensions. Free of torch, as jobs read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from core.fields import option
from models import catalogue
from models.request import PROMPT, SEEDS, Request
from threed.modes import MODES
from threed.prompts import has_views

DEFAULT_TEACHERS = ("toybox-sd-views", "toybox-sd")  # the first that is there
FAMILIES = ("sd", "sdxl")


@dataclass(frozen=True)
class Preset:
    """Seconds and memory are of two idle cores and toybox-sd: measured for a draft, estimates for the others."""

    mode: str
    seeds: int  # things that are tried; the best becomes a mesh
    rounds: int  # of each
    rays: int  # steps on rays a round
    skin: int  # rounds of colours alone, on the mesh
    faces: int
    texture: int  # pixels of a side
    seconds: int
    memory_gb: float


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "draft": Preset("pool", 1, 14, 16, 1, 8_000, 512, 40, 2.0),
        "standard": Preset("hybrid", 3, 25, 18, 6, 8_000, 1024, 180, 2.0),
        "quality": Preset("hybrid", 6, 25, 18, 16, 20_000, 2048, 480, 2.0),
    }
)


def teachers() -> list[str]:
    """Models that are guided by two prompts, which view words can steer."""
    rows = catalogue.rows().values()
    able = [r.id for r in rows if r.manifest.family in FAMILIES and r.manifest.guidance.kind == "cfg"]
    return [r for r in able if catalogue.get(r).manifest.kind in ("model", "lora")]


@dataclass(frozen=True)
class ThreeDRequest(Request):
    """One thing. What is left out is the preset's."""

    prompt: str = option("", "One thing, such as a red mushroom.", longest=PROMPT, required=True, lines=2)
    preset: str = option("draft", "How long it may take.", choices=lambda: list(PRESETS))
    model: str = option(None, "The teacher.", choices=teachers)
    seed: int = option(0, "The same seed gives the same thing.", low=0, high=SEEDS - 1, step=1)
    mode: str = option(None, "How the teacher's answers are used.", choices=lambda: list(MODES))
    seeds: int = option(None, "Things that are tried; the best becomes a mesh.", low=1, high=16, step=1)
    rounds: int = option(None, "How often the teacher is asked about each.", low=1, high=1000, step=1)
    rays: int = option(None, "Steps on rays after each asking.", low=1, high=200, step=1)
    skin: int = option(None, "Rounds of colours alone, on the finished mesh.", low=0, high=200, step=1)
    faces: int = option(None, "Faces of the mesh, at most.", low=200, high=100_000, step=100)
    texture: int = option(None, "Side of its picture.", low=128, high=4096, step=128, unit="pixels")
    threshold: float | None = option(
        None, "Density of the surface; found by silhouettes, if left out.", low=0.1, high=100
    )

    @property
    def one_sided(self) -> bool:
        """Whether the teacher knows only a front of it: the box's, of what is no toy. Then that front is inflated."""
        return not has_views(self.prompt) and catalogue.get(self.model).hub is None

    def _order(self) -> list[str]:
        names = super()._order()
        return ["preset", *(n for n in names if n != "preset")]

    def _fill(self, name: str) -> Any:
        if name == "model":
            valid = teachers()
            return next((t for t in DEFAULT_TEACHERS if t in valid), valid[0] if valid else DEFAULT_TEACHERS[-1])
        return getattr(PRESETS[self.preset], name)
