"""What can be served: data only. An id is a family, a folder or a Hub id and revision, and what its manifest says.

A folder holds only what its id adds; `base` names the row that has the rest, down to the autoencoder.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from models.paths import assets, studio

FILE = "manifest.json"
HIDDEN = ("autoencoder", "judge")  # kinds that are parts of others or tools, not in the menu


@dataclass(frozen=True)
class Guidance:
    """`cfg`: two calls, combined. `embedded`: an input of the network. `none`: fixed."""

    kind: Literal["none", "cfg", "embedded"] = "none"
    default: float = 1.0
    range: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says, key for key."""

    id: str
    family: str  # a file of models/families/
    base: str | None
    kind: str  # "model", "lora", "autoencoder", "judge"
    method: str
    dataset: str
    command: str
    code: str
    seed: int
    samples_seen: int
    scheduler: str | None
    timesteps: dict[str, list[float]]  # by step count, in the scheduler's own unit, first noise, no closing zero
    default_steps: int
    guidance: Guidance
    prediction: str | None
    lora: dict[str, Any] | None
    licence: str
    files: dict[str, str]  # path in the folder -> sha256
    parameters: int
    quality: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def step_counts(self) -> list[int]:
        """Step counts the model takes; empty means any."""
        return sorted(int(k) for k in self.timesteps)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Manifest":
        """Raises ValueError naming the first key that is missing, unknown or of the wrong type."""
        raise NotImplementedError


@dataclass(frozen=True)
class Row:
    """One line of the menu."""

    manifest: Manifest
    size: int  # pixels on a side
    folder: Path | None = None
    hub: str | None = None
    revision: str | None = None

    @property
    def id(self) -> str:
        return self.manifest.id


def rows() -> dict[str, Row]:
    """Every id: the box, the user's own, the Hub's."""
    return {}


def menu() -> list[Row]:
    """The rows that paint, in the order of the menu."""
    return [r for r in rows().values() if r.manifest.kind not in HIDDEN]


def get(id: str) -> Row:
    """Raises ValueError naming the valid ids."""
    raise NotImplementedError


def chain(row: Row) -> list[Row]:
    """The row, its base, the base of that, … Raises ValueError for a base that is missing or goes in circles."""
    raise NotImplementedError


def part(row: Row, name: str) -> Path | None:
    """The folder that holds a part (`transformer`, `vae`, `scheduler`): the nearest along the chain."""
    raise NotImplementedError


def available(row: Row) -> str | None:
    """None, or one sentence why this row can't run here."""
    raise NotImplementedError


def broken() -> list[str]:
    """One sentence for each folder whose manifest can't be used."""
    return []


def verify(row: Row) -> None:
    """Compare every file along the chain with its sha256. Raises ValueError naming the first that differs."""
    raise NotImplementedError
