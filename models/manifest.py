"""The facts about a model: the manifest in its folder, and its row of the catalogue. No torch here."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.fields import record

ROUTER = "router"  # the folder of the network that sends each prompt to one of several students
KINDS = ("model", "lora", "slider", "control", "autoencoder", "judge", "enlarger")
CAMERA = "camera.safetensors"  # the file of a camera input
CONTROLS = ("sketch", "edges", "depth", "colours")  # kinds of control, in the order of the branch's token


@dataclass(frozen=True)
class Guidance:
    """The kind of guidance and its range. `cfg`: two calls, combined. `embedded`: an input of the network. `none`: it
    can't be set."""

    kind: Literal["none", "cfg", "embedded"] = "none"
    default: float = 1.0
    range: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Manifest:
    """The contents of `manifest.json`, key by key."""

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
    eta: float = 0.0  # for DDIM and TCD: the share of fresh noise in each step
    about: str = ""  # one line for menus and cards: how it was made
    good_for: str = ""  # a few words for menus: what people choose it for
    latents: str = ""  # a hash of the encoder that makes its latents
    base_sha256: str = ""  # for a LoRA: the weights of its base that it was made on
    controls: list[str] = field(default_factory=list)  # of a control: the kinds that it reads; empty means all

    @property
    def step_counts(self) -> list[int]:
        """The step counts that the model takes; empty means any."""
        return sorted(int(k) for k in self.timesteps)

    def to_dict(self) -> dict[str, Any]:
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, data: Any) -> "Manifest":
        """A manifest from its JSON. Raises ValueError that names the first missing, unknown or wrong field."""
        made = record(cls, data, "the manifest")
        if made.kind not in KINDS:
            raise ValueError(f"kind {made.kind!r}; valid: {', '.join(KINDS)}")
        if made.kind == "slider" and not {"low", "high"} <= (made.lora or {}).keys():
            raise ValueError("the lora of a slider must have low and high, the words for its ends")
        if any(not k.isdigit() or len(v) != int(k) for k, v in made.timesteps.items()):
            raise ValueError("timesteps must list as many times as its key says, such as {'2': [1.5683, 1.3]}")
        return made


@dataclass(frozen=True)
class Row:
    """A model of the catalogue. `batch`: the number of pictures that its denoiser takes at once."""

    manifest: Manifest
    size: int = 0  # pixels on a side; 0 for a model that paints nothing
    folder: Path | None = None
    hub: str | None = None
    revision: str | None = None
    memory_gib: float = 0.0  # GPU memory to run at half precision; estimated
    tokens: int = 32  # most tokens of a prompt
    instruction: bool = False  # whether the pipeline puts its own long instruction before prompts
    batch: int = 4
    file: str | None = None  # file in the Hub's repository, where that is no whole pipeline

    @property
    def routed(self) -> bool:
        """Whether the model is several students and a router."""
        return any(name.startswith(f"{ROUTER}/") for name in self.manifest.files)

    @property
    def id(self) -> str:
        return self.manifest.id
