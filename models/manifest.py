"""What is known of a model: the manifest in its folder, and the row of the catalogue around it. No torch here."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.fields import record

ROUTER = "router"  # the folder of what sends a prompt to one of several students
KINDS = ("model", "lora", "autoencoder", "judge", "enlarger")


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
    kind: str  # one of KINDS
    method: str
    dataset: str
    command: str
    code: str
    seed: int
    samples_seen: int
    scheduler: str | None  # a class of diffusers
    timesteps: dict[str, list[int | float]]  # by step count, in the scheduler's own unit, from noise, no closing zero
    default_steps: int
    guidance: Guidance
    prediction: str | None
    lora: dict[str, Any] | None
    licence: str
    files: dict[str, str]  # path in the folder -> sha256
    parameters: int
    quality: dict[str, dict[str, float]] = field(default_factory=dict)
    eta: float = 0.0  # of DDIM and TCD: how much of each step is fresh noise
    about: str = ""  # one line: how it was made and what that gives
    latents: str = ""  # which they are: a hash of the encoder that makes them
    base_sha256: str = ""  # of a LoRA: the weights of its base that it was made on

    @property
    def step_counts(self) -> list[int]:
        """Step counts the model takes; empty means any."""
        return sorted(int(k) for k in self.timesteps)

    def to_dict(self) -> dict[str, Any]:
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, data: Any) -> "Manifest":
        """Raises ValueError naming the first field that is missing, unknown or wrong."""
        made = record(cls, data, "the manifest")
        if made.kind not in KINDS:
            raise ValueError(f"kind {made.kind!r}; valid: {', '.join(KINDS)}")
        if any(not k.isdigit() or len(v) != int(k) for k, v in made.timesteps.items()):
            raise ValueError("timesteps must list as many times as its key says, such as {'2': [1.5683, 1.3]}")
        return made


@dataclass(frozen=True)
class Row:
    """One id. `batch`: how many pictures its denoiser takes at once."""

    manifest: Manifest
    size: int = 0  # pixels on a side; 0 for what paints nothing
    folder: Path | None = None
    hub: str | None = None
    revision: str | None = None
    memory_gib: float = 0.0  # of a GPU, to run at half precision; estimated
    tokens: int = 32  # of a prompt
    instruction: bool = False  # whether prompts follow the pipeline's own long instruction
    batch: int = 4
    file: str | None = None  # in the Hub's repository, where that is not a whole pipeline

    @property
    def routed(self) -> bool:
        """Whether it is several students and a router."""
        return any(name.startswith(f"{ROUTER}/") for name in self.manifest.files)

    @property
    def id(self) -> str:
        return self.manifest.id
